"""Looking inside a network: `gradient_flow.gradient_norms` tells how far back a loss reaches."""
