"""Look inside a network: `gradient_flow.gradient_norms` shows how far back gradients reach."""
