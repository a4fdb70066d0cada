"""Look inside a network: `gradient_flow.gradient_norms` shows how far back gradients reach, and
`likelihood.with_logprobs` how likely it finds what it wrote.
"""
