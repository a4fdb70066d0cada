"""Steps with a rate for each parameter, over flat vectors: elements start:stop, g = scale *
clamp(gradient).

w and the slots are updated, gradient is read. All products are elementwise.
"""

import numpy as np

from charrnn.compiler.compiling import kernel
from charrnn.compiler.pointwise import ONE
from charrnn.kernels.update import clamped, rule_of


@kernel(rule_of(1))
def adagrad(w, gradient, s, rule, clip_value, scale, start, stop):
    """AdaGrad (Duchi, Hazan & Singer 2011, figure 1, diagonal): s += g g,  w -= rate g / (sqrt(s) +
    epsilon).

    rule = (epsilon, rate).
    """
    epsilon, rate = rule[0], rule[1]
    w, gradient, s = w[start:stop], gradient[start:stop], s[start:stop]
    for k in range(w.size):
        g = scale * clamped(gradient[k], clip_value)
        s[k] += g * g
        w[k] -= rate * g / (np.sqrt(s[k]) + epsilon)


@kernel(rule_of(1))
def rmsprop(w, gradient, s, rule, clip_value, scale, start, stop):
    """RMSprop (Tieleman & Hinton 2012, lecture 6e): s = rho s + (1 - rho) g g,  w -= rate g /
    (sqrt(s) + epsilon).

    rule = (rho, epsilon, rate).
    """
    rho, epsilon, rate = rule[0], rule[1], rule[2]
    a = ONE - rho
    w, gradient, s = w[start:stop], gradient[start:stop], s[start:stop]
    for k in range(w.size):
        g = scale * clamped(gradient[k], clip_value)
        s[k] = rho * s[k] + a * g * g
        w[k] -= rate * g / (np.sqrt(s[k]) + epsilon)


@kernel(rule_of(2))
def adadelta(w, gradient, s, u, rule, clip_value, scale, start, stop):
    """ADADELTA (Zeiler 2012, algorithm 1); s and u remember the squares of gradients and of steps.

        s = rho s + (1 - rho) g g,  d = sqrt(u + epsilon) / sqrt(s + epsilon) g,  u = rho u + (1 -
        rho) d d,  w -= rate d

    rule = (rho, epsilon, rate); the paper has no rate, that is 1.
    """
    rho, epsilon, rate = rule[0], rule[1], rule[2]
    a = ONE - rho
    w, gradient, s, u = w[start:stop], gradient[start:stop], s[start:stop], u[start:stop]
    for k in range(w.size):
        g = scale * clamped(gradient[k], clip_value)
        s[k] = rho * s[k] + a * g * g
        d = np.sqrt(u[k] + epsilon) / np.sqrt(s[k] + epsilon) * g
        u[k] = rho * u[k] + a * d * d
        w[k] -= rate * d
