"""Look inside a network: `trace.trace` shows every gate and state, `units.find_units` which units
mean something, `attribution.attribution` what a prediction hangs on, `gradient_flow.gradient_norms`
how far back gradients reach, and `likelihood.with_logprobs` how likely it finds what it wrote.
"""
