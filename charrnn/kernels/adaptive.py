"""Optimizer steps with a rate for each parameter, over flat vectors: elements start:stop, g = scale
* clamp(gradient).

w and the slots are updated, gradient is read. All products are elementwise.
"""

import numpy as np

from charrnn.compiler.compiling import kernel
from charrnn.kernels.update import clamped, rule_of


@kernel(rule_of(4, 1))
def rmsprop(w, gradient, s, rule, clip_value, scale, start, stop):
    """s = a s + b g g,  w -= rate g / (sqrt(s) + epsilon). rule = (a, b, epsilon, rate).

    RMSprop (Tieleman & Hinton 2012, lecture 6e): a = rho, b = 1 - rho. AdaGrad (Duchi, Hazan &
    Singer 2011, figure 1, diagonal): a = b = 1.
    """
    a, b, epsilon, rate = rule
    w, gradient, s = w[start:stop], gradient[start:stop], s[start:stop]
    for k in range(w.size):
        g = scale * clamped(gradient[k], clip_value)
        s[k] = a * s[k] + b * g * g
        w[k] -= rate * g / (np.sqrt(s[k]) + epsilon)


@kernel(rule_of(4, 2))
def adadelta(w, gradient, s, u, rule, clip_value, scale, start, stop):
    """ADADELTA (Zeiler 2012, algorithm 1); s and u remember the squares of gradients and of steps.

        s = a s + b g g,  d = sqrt(u + epsilon) / sqrt(s + epsilon) g,  u = a u + b d d,
        w -= rate d

    rule = (a, b, epsilon, rate), with a = rho and b = 1 - rho; the paper has no rate, that is 1.
    """
    a, b, epsilon, rate = rule
    w, gradient, s, u = w[start:stop], gradient[start:stop], s[start:stop], u[start:stop]
    for k in range(w.size):
        g = scale * clamped(gradient[k], clip_value)
        s[k] = a * s[k] + b * g * g
        d = np.sqrt(u[k] + epsilon) / np.sqrt(s[k] + epsilon) * g
        u[k] = a * u[k] + b * d * d
        w[k] -= rate * d
