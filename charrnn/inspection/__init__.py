"""Look inside a network: `trace.trace` shows every gate and state, `gradient_flow.gradient_norms`
how far back gradients reach, and `likelihood.with_logprobs` how likely it finds what it wrote.
"""
