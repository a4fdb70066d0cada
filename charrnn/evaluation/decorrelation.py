"""The gradients of dynamic evaluation, after what the weights read has been made independent.

The outputs x of a layer are correlated, so a step along the gradient x^T dz moves the network far
in the few directions in which x varies most, and hardly in the others. As in K-FAC (Martens &
Grosse 2015), but with the inputs' factor alone, the gradient of a weight that reads x is multiplied
by the inverse of how x varies in the text so far:

    C = mean of x^T x,   G = (C / c + 0.3 I)^-1 x^T dz,   c = mean of the diagonal of C

It is computed as (x (C / c + 0.3 I)^-1)^T dz. All other weights keep their gradients. What the
Mogrifier's rounds leave of h' counts as an x of its own.
"""

import numpy as np

from charrnn.kernels import layers
from charrnn.kernels.adapting import invert
from charrnn.network.arithmetic import FLOAT32
from charrnn.network.layer import rows
from charrnn.network.network import Network
from charrnn.network.parameters import Floats, aligned

FIRST = 1024
"""Characters after which the first inverse is made; the next after twice as many, and so on."""
DAMPING = 0.3
"""Added to the eigenvalues of C / c, whose mean is 1."""


class Decorrelation:
    """Learns how the outputs of a network's layers vary, and makes them independent."""

    def __init__(self, network: Network) -> None:
        self._layers = network.layers
        H = network.model.width
        steps, streams = network.shape
        scratch = aligned(layers.scratch_size(H, H)), aligned((steps + 1) * streams, H)
        self._states = [_Inputs(H, *scratch) for _ in self._layers]
        self._outputs = [_Inputs(H, *scratch) for _ in self._layers]
        self._scaled = _Inputs(H, *scratch)
        self._read, self._next = 0, FIRST

    def __call__(self, steps: int) -> None:
        """Learn from the layers' outputs of a segment, then replace them. To be called after its
        backward pass and before the products that give the weights' gradients.
        """
        for layer, state, output in zip(self._layers, self._states, self._outputs, strict=True):
            state.learn(rows(layer.h, steps))
            state.replace(rows(layer.h, steps + 1))
            if layer.mogrifier.count > 1:
                scaled = rows(layer.mogrifier.last_h, steps)
                self._scaled.learn(scaled)
                self._scaled.replace(scaled)
            if np.may_share_memory(layer.out, layer.h):
                continue
            out = rows(layer.out, steps)
            if layer.out is layer.copied:
                state.replace(out)
            else:
                output.learn(out)
                output.replace(out)
        self._read += steps * self._layers[0].h.shape[1]
        if self._read >= self._next:
            self._next = 2 * self._read
            for inputs in (*self._states, *self._outputs, self._scaled):
                inputs.invert()


class _Inputs:
    """One kind of input x (_, K): the sum of x^T x, and the packed inverse."""

    def __init__(self, K: int, scratch: Floats, made: Floats) -> None:
        self._sum, self._part, self._unused = aligned(K, K), aligned(K, K), aligned(K)
        self._panels, self._scratch, self._made = aligned(K * K), scratch, made
        self._is_known = False

    def learn(self, x: Floats) -> None:
        """Add x^T x."""
        product = FLOAT32.input_gradients(x, x, self._part, self._unused)
        product(self._scratch, 0, x.shape[1])
        self._sum += self._part

    def invert(self) -> None:
        """Make the inverse from all that was read."""
        squares = np.diagonal(self._sum)
        if not squares.any():
            return
        matrix = self._sum / squares[squares > 0].mean(dtype=np.float64)
        matrix[np.diag_indices_from(matrix)] += DAMPING
        invert(matrix)
        K = len(matrix)
        FLOAT32.pack(matrix.astype(np.float32), self._panels, 0, K, 0, K)
        self._is_known = True

    def replace(self, x: Floats) -> None:
        """x = x times the inverse, once there is one."""
        if self._is_known:
            made = self._made[: len(x)]
            FLOAT32.multiply(x, self._panels, made)
            x[:] = made
