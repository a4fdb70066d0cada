"""The network as its papers state it, in NumPy float64: the executable statement of the
mathematics.

Nothing here is fast. Every kernel is compared with it, and it is itself compared with finite
differences. Each backward pass stands beside its forward pass, and `dx` is the derivative of the
loss with respect to `x`.

T time, N streams, V symbols, E embedding size (0: one-hot), D input size of a layer, H hidden
units, L layers. Parameters are a dict with PyTorch's names and shapes, and one bias a layer:

    embedding.weight   (V, E)    if E > 0            rnn.bias_ih_l0   (4H,)
    rnn.weight_ih_l0   (4H, D)   D = E, V or H       decoder.weight   (V, H)
    rnn.weight_hh_l0   (4H, H)                       decoder.bias     (V,)

Ids x, y (T, N) are integers. States are one pair (h, c), each (N, H), a layer. Masks are one (T, N,
H) a layer, zero where a unit is dropped and 1 / (1 - p) where it is kept. Any float type is
accepted; all arithmetic and every result is float64; nothing is changed in place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]  # floats
Ids = NDArray[Any]  # integers
Parameters = dict[str, Array]
States = list[tuple[Array, Array]]


def sigmoid(z: Array) -> Array:
    """1 / (1 + exp(-z)), written with tanh so that no z overflows."""
    return 0.5 * (1 + np.tanh(0.5 * z))


# One LSTM step
# --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Step:
    """What one step leaves behind: gates i, f, g, o, the cell before and after it, and its output;
    each (N, H).
    """

    i: Array
    f: Array
    g: Array
    o: Array
    c_before: Array
    c: Array
    h: Array


def lstm_step(z: Array, c_before: Array) -> Step:
    """One LSTM step (Hochreiter & Schmidhuber 1997; forget gate: Gers et al. 2000) from z = W_x x +
    W_h h' + b (N, 4H).

    i = sigmoid(z_i),  f = sigmoid(z_f),  g = tanh(z_g),  o = sigmoid(z_o);  c = f * c' + i * g,  h
    = o * tanh(c).
    """
    z_i, z_f, z_g, z_o = np.split(z, 4, axis=1)
    i, f, g, o = sigmoid(z_i), sigmoid(z_f), np.tanh(z_g), sigmoid(z_o)
    c = f * c_before + i * g
    return Step(i, f, g, o, c_before, c, h=o * np.tanh(c))


def lstm_step_back(step: Step, dh: Array, dc: Array) -> tuple[Array, Array]:
    """(dz (N, 4H), dc_before (N, H)) from dh and from the dc that comes from the step after this
    one.
    """
    i, f, g, o = step.i, step.f, step.g, step.o
    tanh_c = np.tanh(step.c)
    dc = dc + dh * o * (1 - tanh_c**2)
    dz_i = dc * g * i * (1 - i)
    dz_f = dc * step.c_before * f * (1 - f)
    dz_g = dc * i * (1 - g**2)
    dz_o = dh * tanh_c * o * (1 - o)
    return np.concatenate([dz_i, dz_f, dz_g, dz_o], axis=1), dc * f


# One layer over a sequence
# ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Layer:
    """What one layer leaves behind: its input x (T, N, D), the h before its first step, and its T
    steps.
    """

    x: Array
    h_before: Array
    steps: list[Step]

    @property
    def h(self) -> Array:
        """The layer's output (T, N, H), before dropout."""
        return np.stack([step.h for step in self.steps])


def layer_forward(x: Array, W_x: Array, W_h: Array, b: Array, h: Array, c: Array) -> Layer:
    """Walk one layer over x (T, N, D) from the state h, c."""
    h_before, steps = h, []
    for x_t in x:
        step = lstm_step(x_t @ W_x.T + h @ W_h.T + b, c)
        steps.append(step)
        h, c = step.h, step.c
    return Layer(x, h_before, steps)


def layer_backward(
    layer: Layer, W_x: Array, W_h: Array, dh_out: Array
) -> tuple[Array, Array, Array, Array]:
    """(dx, dW_x, dW_h, db) from dh_out (T, N, H); gradients stop at the initial state."""
    dz = np.empty((*dh_out.shape[:2], 4 * dh_out.shape[2]))
    dh = dc = np.zeros_like(dh_out[0])
    for t in reversed(range(len(dh_out))):
        dz[t], dc = lstm_step_back(layer.steps[t], dh_out[t] + dh, dc)
        dh = dz[t] @ W_h
    h_before = np.concatenate([layer.h_before[None], layer.h[:-1]])
    dW_x = np.einsum("tnz,tnd->zd", dz, layer.x)
    dW_h = np.einsum("tnz,tnh->zh", dz, h_before)
    return dz @ W_x, dW_x, dW_h, dz.sum(axis=(0, 1))


# Softmax and cross-entropy
# ------------------------------------------------------------------------------------------


def cross_entropy(logits: Array, y: Ids) -> float:
    """-log softmax(logits)[y] in nats, the mean over all T * N targets."""
    return float(-np.take_along_axis(log_softmax(logits), y[..., None], axis=-1).mean())


def cross_entropy_back(logits: Array, y: Ids) -> Array:
    """dlogits = (softmax(logits) - onehot(y)) / (T * N)."""
    return (np.exp(log_softmax(logits)) - np.eye(logits.shape[-1])[y]) / y.size


def log_softmax(logits: Array) -> Array:
    """logits - log sum exp(logits), shifted by the greatest so that nothing overflows."""
    shifted: Array = logits - logits.max(axis=-1, keepdims=True)
    total: Array = np.exp(shifted).sum(axis=-1, keepdims=True)
    return shifted - np.log(total)


# The network
# --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Trace:
    """A forward pass: all that its backward pass needs, and the `states` (h, c) a layer in which it
    ended.
    """

    parameters: Parameters
    x: Ids
    layers: list[Layer]
    masks: Sequence[Array]
    output: Array
    logits: Array
    states: States


def forward(
    parameters: Mapping[str, Array],
    x: Ids,
    states: Sequence[Any],
    masks: Sequence[Array] | None = None,
) -> Trace:
    """Embed x (T, N), walk every layer, decode: logits = h W + b (T, N, V).

    A mask multiplies what a layer hands up (to the next layer or the decoder), never what it hands
    on to its next step.
    """
    p = {name: np.asarray(value, np.float64) for name, value in parameters.items()}
    states = [(np.asarray(h, np.float64), np.asarray(c, np.float64)) for h, c in states]
    masks = (
        [np.ones(())] * len(states)
        if masks is None
        else [np.asarray(mask, np.float64) for mask in masks]
    )
    layers = []
    one_hot = np.eye(len(p["decoder.bias"]))
    output = p.get("embedding.weight", one_hot)[x]
    for (h, c), mask, (W_x, W_h, b) in zip(states, masks, layer_names(p), strict=True):
        layers.append(layer_forward(output, p[W_x], p[W_h], p[b], h, c))
        output = layers[-1].h * mask
    logits = output @ p["decoder.weight"].T + p["decoder.bias"]
    final = [(layer.steps[-1].h, layer.steps[-1].c) for layer in layers]
    return Trace(p, x, layers, masks, output, logits, final)


def backward(trace: Trace, y: Ids) -> tuple[float, Parameters]:
    """(loss in nats, gradients named and shaped as the parameters) of predicting y (T, N)."""
    p = trace.parameters
    dlogits = cross_entropy_back(trace.logits, y)
    gradients = {
        "decoder.weight": np.einsum("tnv,tnh->vh", dlogits, trace.output),
        "decoder.bias": dlogits.sum(axis=(0, 1)),
    }
    d_output = dlogits @ p["decoder.weight"]
    for layer, mask, (W_x, W_h, b) in reversed(
        list(zip(trace.layers, trace.masks, layer_names(p), strict=True))
    ):
        d_output, *d_weights = layer_backward(layer, p[W_x], p[W_h], d_output * mask)
        gradients[W_x], gradients[W_h], gradients[b] = d_weights
    if "embedding.weight" in p:
        gradients["embedding.weight"] = np.zeros_like(p["embedding.weight"])
        np.add.at(gradients["embedding.weight"], trace.x, d_output)
    return cross_entropy(trace.logits, y), {name: gradients[name] for name in p}


def layer_names(parameters: Mapping[str, Array]) -> list[tuple[str, str, str]]:
    """The names of (W_x, W_h, b) of every layer, the lowest first."""
    L = sum(name.startswith("rnn.weight_ih_l") for name in parameters)
    return [
        (f"rnn.weight_ih_l{layer}", f"rnn.weight_hh_l{layer}", f"rnn.bias_ih_l{layer}")
        for layer in range(L)
    ]


def loss(
    parameters: Mapping[str, Array],
    x: Ids,
    y: Ids,
    states: Sequence[Any],
    masks: Sequence[Array] | None = None,
) -> float:
    """The loss in nats of predicting y from x, the mean over all T * N targets."""
    return cross_entropy(forward(parameters, x, states, masks).logits, y)


def gradients(
    parameters: Mapping[str, Array],
    x: Ids,
    y: Ids,
    states: Sequence[Any],
    masks: Sequence[Array] | None = None,
) -> tuple[float, Parameters, States]:
    """(loss, gradients, final states) of predicting y from x."""
    trace = forward(parameters, x, states, masks)
    return *backward(trace, y), trace.states


# Starting and updating
# ----------------------------------------------------------------------------------------------


def random_parameters(rng: np.random.Generator, V: int, E: int, H: int, L: int) -> Parameters:
    """Parameters to test with: normal, wide enough that the gates bend. Not the initialization of
    training.
    """
    shapes: dict[str, tuple[int, ...]] = {"embedding.weight": (V, E)} if E else {}
    for layer in range(L):
        shapes[f"rnn.weight_ih_l{layer}"] = (4 * H, H if layer else E or V)
        shapes[f"rnn.weight_hh_l{layer}"] = (4 * H, H)
        shapes[f"rnn.bias_ih_l{layer}"] = (4 * H,)
    shapes |= {"decoder.weight": (V, H), "decoder.bias": (V,)}
    return {name: rng.normal(scale=0.5, size=shape) for name, shape in shapes.items()}


def zero_states(N: int, H: int, L: int) -> States:
    """The states of a network that has read nothing."""
    return [(np.zeros((N, H)), np.zeros((N, H))) for _ in range(L)]


def global_norm(gradients: Mapping[str, Array]) -> float:
    """The Euclidean norm of all gradients taken as one vector."""
    return float(np.sqrt(sum(np.sum(np.asarray(g, np.float64) ** 2) for g in gradients.values())))


def clip(gradients: Mapping[str, Array], clip_norm: float, clip_value: float) -> Parameters:
    """Clamp every element to +-clip_value, then scale all by min(1, clip_norm / norm); 0 leaves a
    step out.
    """
    clipped = {name: np.asarray(g, np.float64) for name, g in gradients.items()}
    if clip_value:
        clipped = {name: np.clip(g, -clip_value, clip_value) for name, g in clipped.items()}
    if clip_norm:
        # clip / max(norm, clip) is min(1, clip / norm), and defined where the norm is zero.
        scale = clip_norm / max(global_norm(clipped), clip_norm)
        clipped = {name: g * scale for name, g in clipped.items()}
    return clipped


def adam(
    parameters: Mapping[str, Array],
    gradients: Mapping[str, Array],
    slots: Mapping[str, tuple[Array, Array]],
    step: int,
    learning_rate: float,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
) -> tuple[Parameters, dict[str, tuple[Array, Array]]]:
    """(parameters, slots) after one step of Adam (Kingma & Ba 2015, algorithm 1); the first `step`
    is 1, slots are {}.

    m = beta1 m' + (1 - beta1) g,  v = beta2 v' + (1 - beta2) g^2, both zero at first;
    p = p' - learning_rate * (m / (1 - beta1^step)) / (sqrt(v / (1 - beta2^step)) + epsilon).
    """
    updated: Parameters = {}
    new_slots: dict[str, tuple[Array, Array]] = {}
    for name, value in parameters.items():
        p, g = np.asarray(value, np.float64), np.asarray(gradients[name], np.float64)
        m, v = slots.get(name, (np.zeros_like(p), np.zeros_like(p)))
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        m_hat, v_hat = m / (1 - beta1**step), v / (1 - beta2**step)
        updated[name] = p - learning_rate * m_hat / (np.sqrt(v_hat) + epsilon)
        new_slots[name] = (m, v)
    return updated, new_slots
