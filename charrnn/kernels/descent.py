"""Steps along the gradient, plain or with momentum, over flat vectors: elements start:stop, g =
scale * clamp(gradient).

w and v are updated, gradient is read.
"""

from charrnn.compiler.compiling import kernel
from charrnn.kernels.update import clamped, rule_of


@kernel(rule_of(0))
def sgd(w, gradient, rule, clip_value, scale, start, stop):
    """Stochastic gradient descent (Robbins & Monro 1951): w -= rate g. rule = (rate,)."""
    rate = rule[0]
    w, gradient = w[start:stop], gradient[start:stop]
    for k in range(w.size):
        w[k] -= rate * (scale * clamped(gradient[k], clip_value))


@kernel(rule_of(1))
def momentum(w, gradient, v, rule, clip_value, scale, start, stop):
    """The heavy ball (Polyak 1964, equation 9): v = mu v + g,  w -= rate v. rule = (mu, rate).

    The rate is outside the velocity, as in PyTorch, so that a fall of the rate acts at once on all
    of the step.
    """
    mu, rate = rule[0], rule[1]
    w, gradient, v = w[start:stop], gradient[start:stop], v[start:stop]
    for k in range(w.size):
        v[k] = mu * v[k] + scale * clamped(gradient[k], clip_value)
        w[k] -= rate * v[k]


@kernel(rule_of(1))
def nesterov(w, gradient, v, rule, clip_value, scale, start, stop):
    """Nesterov's accelerated gradient: v = mu v + g,  w -= rate (g + mu v). rule = (mu, rate).

    Sutskever et al. 2013 (equations 3 and 4) take the gradient ahead, at w + mu v; here w is that
    point already (Bengio, Boulanger-Lewandowski & Pascanu 2013, equation 7), with the rate outside
    the velocity as in PyTorch.
    """
    mu, rate = rule[0], rule[1]
    w, gradient, v = w[start:stop], gradient[start:stop], v[start:stop]
    for k in range(w.size):
        g = scale * clamped(gradient[k], clip_value)
        v[k] = mu * v[k] + g
        w[k] -= rate * (g + mu * v[k])
