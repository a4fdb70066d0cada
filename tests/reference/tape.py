"""Reverse-mode differentiation of NumPy expressions in float64: a network is stated forwards, its
gradients follow.

A `Value` is an array and how it came about. Operators make new values; `backward` walks from a
scalar back to everything that it was made of and leaves the derivative of the scalar in `grad`, an
array of the value's shape. Only what the reference of the cells needs is here. Its own proof are
the central differences of `numerical_gradient`.

>>> a = Value([3.0]); (a * a + 2 * a).sum().backward(); a.grad
array([8.])
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Back = Callable[[Array], Array]


class Value:
    """An array, float64, and for each value that it was made of: that value, and how derivatives go
    back to it.
    """

    grad: Array
    """The derivative of the scalar that `backward` was last called on, if it was made of this."""
    __array_ufunc__ = None  # so that ndarray * Value is Value.__rmul__, not an array of Values

    def __init__(self, data: Any, parents: tuple[tuple[Value, Back], ...] = ()) -> None:
        self.data = np.asarray(data, np.float64)
        self.parents = parents

    @property
    def shape(self) -> tuple[int, ...]:
        return self.data.shape

    def __add__(self, other: Any) -> Value:
        other = value(other)
        return Value(self.data + other.data, ((self, lambda d: d), (other, lambda d: d)))

    def __mul__(self, other: Any) -> Value:
        other = value(other)
        return Value(
            self.data * other.data,
            ((self, lambda d: d * other.data), (other, lambda d: d * self.data)),
        )

    def __neg__(self) -> Value:
        return -1 * self

    def __sub__(self, other: Any) -> Value:
        return self + -value(other)

    def __rsub__(self, other: Any) -> Value:
        return value(other) + -self

    def __matmul__(self, other: Value) -> Value:
        """Of two matrices."""
        a, b = self.data, other.data
        return Value(a @ b, ((self, lambda d: d @ b.T), (other, lambda d: a.T @ d)))

    __radd__, __rmul__ = __add__, __mul__

    def __getitem__(self, place: Any) -> Value:
        """A part; one that is taken several times, such as an embedding's row, gathers all its
        derivatives.
        """

        def back(d: Array) -> Array:
            whole = np.zeros_like(self.data)
            if isinstance(place, np.ndarray):
                np.add.at(whole, place, d)
            else:
                whole[place] = d
            return whole

        return Value(self.data[place], ((self, back),))

    @property
    def T(self) -> Value:
        return Value(self.data.T, ((self, lambda d: d.T),))

    def normalized(self) -> Value:
        """Every row less its mean, divided by its standard deviation (with 1e-5 added to the
        variance).
        """
        centred = self.data - self.data.mean(-1, keepdims=True)
        r = 1 / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
        out = centred * r

        def back(d: Array) -> Array:
            return r * (d - d.mean(-1, keepdims=True) - out * (d * out).mean(-1, keepdims=True))

        return Value(out, ((self, back),))

    def sum(self) -> Value:
        return Value(self.data.sum(), ((self, lambda d: np.broadcast_to(d, self.shape)),))

    def blocks(self, count: int) -> list[Value]:
        """Equal parts of the last axis."""
        size = self.shape[-1] // count
        return [self[..., k * size : (k + 1) * size] for k in range(count)]

    def rows(self, count: int) -> list[Value]:
        """Equal parts of the first axis."""
        size = self.shape[0] // count
        return [self[k * size : (k + 1) * size] for k in range(count)]

    def backward(self) -> None:
        """Set `grad` of everything that this scalar was made of."""
        order = _in_order(self)
        for node in order:
            node.grad = np.zeros_like(node.data)
        self.grad = np.ones_like(self.data)
        for node in reversed(order):
            for parent, back in node.parents:
                parent.grad = parent.grad + _unbroadcast(back(node.grad), parent.shape)


def value(x: Any) -> Value:
    """x as a Value; a plain array or number is a constant."""
    return x if isinstance(x, Value) else Value(x)


def _in_order(last: Value) -> list[Value]:
    """Everything below `last`, each value after all that it was made of. No recursion: sequences
    are long.
    """
    order: list[Value] = []
    seen: set[int] = set()
    stack = [(last, False)]
    while stack:
        node, is_done = stack.pop()
        if is_done:
            order.append(node)
        elif id(node) not in seen:
            seen.add(id(node))
            stack.append((node, True))
            stack.extend((parent, False) for parent, _ in node.parents)
    return order


def _unbroadcast(d: Array, shape: tuple[int, ...]) -> Array:
    """The derivative by what was broadcast is the sum over its copies."""
    if d.ndim > len(shape):
        d = d.sum(axis=tuple(range(d.ndim - len(shape))))
    stretched = tuple(axis for axis, size in enumerate(shape) if size == 1 and d.shape[axis] != 1)
    return d.sum(axis=stretched, keepdims=True) if stretched else d


def tanh(z: Value) -> Value:
    y = np.tanh(z.data)
    return Value(y, ((z, lambda d: d * (1 - y**2)),))


def sigmoid(z: Value) -> Value:
    """1 / (1 + exp(-z)), written with tanh so that no z overflows."""
    return 0.5 * (1 + tanh(0.5 * z))


def softsign(z: Value) -> Value:
    """z / (1 + |z|)."""
    below = 1 + np.abs(z.data)
    return Value(z.data / below, ((z, lambda d: d / below**2),))


def relu(z: Value) -> Value:
    """max(0, z), with derivative 0 at 0."""
    return Value(np.maximum(z.data, 0), ((z, lambda d: d * (z.data > 0)),))


def log_softmax(logits: Array) -> Array:
    """logits - log sum exp(logits) over the last axis, shifted so that nothing overflows."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def cross_entropy(logits: Value, y: Array) -> Value:
    """-log softmax(logits)[y] in nats for each row: logits (N, V), y (N,) integers."""
    log_p = log_softmax(logits.data)
    rows = np.arange(len(y))
    return Value(
        -log_p[rows, y],
        ((logits, lambda d: d[:, None] * (np.exp(log_p) - np.eye(log_p.shape[1])[y])),),
    )


def numerical_gradient(f: Callable[[Array], float], array: Array, step: float = 1e-6) -> Array:
    """The derivative of f by each element of array: central differences, error about 1e-9 of f in
    float64.
    """
    array = np.asarray(array, np.float64)
    gradient = np.zeros(array.size)
    for k in range(array.size):
        nudge = np.zeros(array.size)
        nudge[k] = step * max(1.0, abs(array.flat[k]))
        moved = nudge.reshape(array.shape)
        gradient[k] = (f(array + moved) - f(array - moved)) / (2 * nudge[k])
    return gradient.reshape(array.shape)
