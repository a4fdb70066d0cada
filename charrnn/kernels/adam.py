"""Adam's step, over flat vectors; AdamW is the same with weight decay before it."""

import numpy as np

from charrnn.compiler.compiling import kernel
from charrnn.kernels.update import clamped, rule_of


@kernel(rule_of(7, 2))
def adam(w, gradient, m, v, rule, clip_value, scale, start, stop):
    """Adam (Kingma & Ba 2015, algorithm 1) on elements start:stop; g = scale * clamp(gradient).

        m = beta1 m + (1 - beta1) g,  v = beta2 v + (1 - beta2) g g,  w -= rate m / (sqrt(v)
        correction + epsilon)

    rule = (beta1, 1 - beta1, beta2, 1 - beta2, epsilon, rate, correction), where the caller folds 1
    - beta1^t into the rate and has correction = 1 / sqrt(1 - beta2^t); differences from 1 are
    formed there, since in float32 1 - 0.999 is wrong in the fifth digit. w, m, v are updated,
    gradient is read.
    """
    beta1, a, beta2, b, epsilon, rate, correction = rule
    w, gradient, m, v = w[start:stop], gradient[start:stop], m[start:stop], v[start:stop]
    for k in range(w.size):
        g = scale * clamped(gradient[k], clip_value)
        m[k] = beta1 * m[k] + a * g
        v[k] = beta2 * v[k] + b * g * g
        w[k] -= rate * m[k] / (np.sqrt(v[k]) * correction + epsilon)
