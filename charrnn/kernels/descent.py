"""Steps along the gradient, plain or with momentum, over flat vectors: elements start:stop, g =
scale * clamp(gradient).

w and v are updated, gradient is read.
"""

from charrnn.compiler.compiling import kernel
from charrnn.kernels.update import clamped, rule_of


@kernel(rule_of(1, 0))
def sgd(w, gradient, rule, clip_value, scale, start, stop):
    """Stochastic gradient descent (Robbins & Monro 1951): w -= rate g. rule = (rate,)."""
    (rate,) = rule
    w, gradient = w[start:stop], gradient[start:stop]
    for k in range(w.size):
        w[k] -= rate * (scale * clamped(gradient[k], clip_value))


@kernel(rule_of(4, 1))
def momentum(w, gradient, v, rule, clip_value, scale, start, stop):
    """Descent with momentum: v = mu v + g,  w -= rate (a g + b v). rule = (mu, a, b, rate).

    The heavy ball (Polyak 1964, equation 9): a = 0, b = 1. The rate is outside the velocity, as in
    PyTorch, so that a fall of the rate acts at once on all of the step.

    Nesterov's accelerated gradient: a = 1, b = mu. Sutskever et al. 2013 (equations 3 and 4) take
    the gradient ahead, at w + mu v; here w is that point already (Bengio, Boulanger-Lewandowski &
    Pascanu 2013, equation 7).
    """
    mu, a, b, rate = rule
    w, gradient, v = w[start:stop], gradient[start:stop], v[start:stop]
    for k in range(w.size):
        g = scale * clamped(gradient[k], clip_value)
        v[k] = mu * v[k] + g
        w[k] -= rate * (a * g + b * v[k])
