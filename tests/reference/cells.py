"""Every cell and every option as their papers state them, in float64: what the compiled kernels
must compute.

Only the way forward is written; gradients are those of `tape`, and the tape is compared with
central differences. T time, N streams, V symbols, E embedding size, D inputs of a layer, H hidden
units; z = W_x x + W_h h' + b (N, G H), a prime marks the step before, phi is the activation, and
products of vectors are elementwise. Parameters are named and shaped as on disk, gate blocks in the
order that each function unpacks.

A cell is `step(p, x, h, c, m) -> Step`: p the layer's parameters, x (N, D), the state h, c (N, H)
of the step before, and m (N, H), the memory that the layer below sends up (for the lowest layer a
vector of the character).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from charrnn.config.settings import ModelConfig
from tests.reference.tape import Array, Value, cross_entropy, relu, sigmoid, softsign, tanh, value

PHI: dict[str, Callable[[Value], Value]] = {"tanh": tanh, "softsign": softsign, "relu": relu}
Parameters = Mapping[str, Any]
States = list[tuple[Any, Any]]


@dataclass(frozen=True)
class Layer:
    """One layer's parameters, None where the cell has none; W_h as this batch sees it, with its
    DropConnect mask.
    """

    config: ModelConfig
    W_x: Value
    W_h: Value
    b: Value
    b_h: Value | None
    peephole: Value | None

    @property
    def phi(self) -> Callable[[Value], Value]:
        return PHI[self.config.activation]

    def z(self, x: Value, h: Value) -> Value:
        return x @ self.W_x.T + h @ self.W_h.T + self.b


@dataclass(frozen=True)
class Step:
    """The new state; the gates by name; what goes up if that is not h; and the memory that goes up,
    if any. Each (N, H).
    """

    h: Value
    c: Value
    gates: dict[str, Value]
    y: Value | None = None
    m: Value | None = None


# The cells
# --------------------------------------------------------------------------------------------------


def lstm(p: Layer, x: Value, h: Value, c: Value, m: Value) -> Step:
    """Hochreiter & Schmidhuber 1997, with the forget gate of Gers, Schmidhuber & Cummins 2000."""
    i, f, g, o = p.z(x, h).blocks(4)
    i, f, g, o = sigmoid(i), sigmoid(f), p.phi(g), sigmoid(o)
    c = f * c + i * g
    return Step(o * p.phi(c), c, {"i": i, "f": f, "g": g, "o": o})


def peephole(p: Layer, x: Value, h: Value, c: Value, m: Value) -> Step:
    """Gers & Schmidhuber 2000, with diagonal peepholes (Graves 2013, equations 7 to 11): o sees the
    new cell state.
    """
    i, f, g, o = p.z(x, h).blocks(4)
    p_i, p_f, p_o = (p.peephole[row] for row in range(3))
    i, f, g = sigmoid(i + p_i * c), sigmoid(f + p_f * c), p.phi(g)
    c = f * c + i * g
    o = sigmoid(o + p_o * c)
    return Step(o * p.phi(c), c, {"i": i, "f": f, "g": g, "o": o}, m=c)


def coupled(p: Layer, x: Value, h: Value, c: Value, m: Value) -> Step:
    """Greff et al. 2015, "CIFG": the input gate is 1 - f."""
    f, g, o = p.z(x, h).blocks(3)
    f, g, o = sigmoid(f), p.phi(g), sigmoid(o)
    c = f * c + (1 - f) * g
    return Step(o * p.phi(c), c, {"f": f, "g": g, "o": o})


def gru(p: Layer, x: Value, h: Value, c: Value, m: Value) -> Step:
    """Cho et al. 2014, equations 5 to 8: r is applied before the product; z is the share that is
    kept, as in PyTorch.
    """
    W_r, W_z, W_n = p.W_x.rows(3)
    U_r, U_z, U_n = p.W_h.rows(3)
    b_r, b_z, b_n = p.b.blocks(3)
    r = sigmoid(x @ W_r.T + h @ U_r.T + b_r)
    z = sigmoid(x @ W_z.T + h @ U_z.T + b_z)
    n = p.phi(x @ W_n.T + (r * h) @ U_n.T + b_n)
    return Step((1 - z) * n + z * h, c, {"r": r, "z": z, "n": n})


def gru_after(p: Layer, x: Value, h: Value, c: Value, m: Value) -> Step:
    """cuDNN's and PyTorch's: r is applied after the product, which has a bias of its own (the n
    block of b_h).
    """
    x_r, x_z, x_n = (x @ p.W_x.T + p.b).blocks(3)
    h_r, h_z, h_n = (h @ p.W_h.T).blocks(3)
    r, z = sigmoid(x_r + h_r), sigmoid(x_z + h_z)
    k = h_n + p.b_h.blocks(3)[2]
    n = p.phi(x_n + r * k)
    return Step((1 - z) * n + z * h, c, {"n": n, "r": r, "z": z, "k": k})


def rnn(p: Layer, x: Value, h: Value, c: Value, m: Value) -> Step:
    """Elman 1990."""
    h = p.phi(p.z(x, h))
    return Step(h, c, {"h": h})


def clockwork(p: Layer, x: Value, h: Value, c: Value, m: Value) -> Step:
    """Koutnik et al. 2014: a unit is updated when the time is a multiple of its period, and reads
    only units as slow as it.

    c (N, H) is a clock: steps since the last update, modulo the period; a unit is updated where it
    is zero.
    """
    group = clockwork_groups(p.config)
    ticks = np.where(c.data == 0, 1.0, 0.0)
    new = p.phi(x @ p.W_x.T + h @ (p.W_h * clockwork_reads(p.config)).T + p.b)
    return Step(ticks * new + (1 - ticks) * h, Value((c.data + 1) % 2**group), {"h": new})


def depth_gated(p: Layer, x: Value, h: Value, c: Value, m: Value) -> Step:
    """Yao et al. 2015: a gate d lets the lower layer's memory m into this one's; peepholes as in
    `peephole`.

    d = sigmoid(b_d + W_d x + w_c * c' + w_m * m) sees x and the memories, not h'.
    """
    H = p.config.hidden
    along = x @ p.W_x.T + p.b
    z_d = along[:, :H]
    i, f, g, o = (along[:, H:] + h @ p.W_h.T).blocks(4)
    p_i, p_f, p_o, w_c, w_m = (p.peephole[row] for row in range(5))
    d = sigmoid(z_d + w_c * c + w_m * m)
    i, f, g = sigmoid(i + p_i * c), sigmoid(f + p_f * c), p.phi(g)
    c = d * m + f * c + i * g
    o = sigmoid(o + p_o * c)
    return Step(o * p.phi(c), c, {"d": d, "i": i, "f": f, "g": g, "o": o}, m=c)


def grid(p: Layer, x: Value, h: Value, c: Value, m: Value) -> Step:
    """Kalchbrenner, Danihelka & Graves 2015, two dimensions, weights not tied: one LSTM along time
    and one along depth.

    The output gate stands inside phi (their equation 1).
    """
    names = ("it", "ft", "gt", "ot", "id", "fd", "gd", "od")
    z = zip(names, p.z(x, h).blocks(8), strict=True)
    gate = {name: p.phi(block) if name[0] == "g" else sigmoid(block) for name, block in z}
    c = gate["ft"] * c + gate["it"] * gate["gt"]
    up = gate["fd"] * m + gate["id"] * gate["gd"]
    return Step(p.phi(gate["ot"] * c), c, gate, y=p.phi(gate["od"] * up), m=up)


STEPS: dict[str, Callable[[Layer, Value, Value, Value, Value], Step]] = {
    **{
        "lstm": lstm,
        "peephole": peephole,
        "coupled": coupled,
        "gru": gru,
        "gru-after": gru_after,
        "rnn": rnn,
    },
    **{"clockwork": clockwork, "depth-gated": depth_gated, "grid": grid},
}
GATES_X = {
    "coupled": 3,
    "gru": 3,
    "gru-after": 3,
    "rnn": 1,
    "clockwork": 1,
    "depth-gated": 5,
    "grid": 8,
}
GATES_H = GATES_X | {"depth-gated": 4}
PEEPHOLES = {"peephole": 3, "depth-gated": 5}
READS_MEMORY = ("depth-gated", "grid")
HAS_MEMORY = ("lstm", "peephole", "coupled", "depth-gated", "grid")


def mogrified(config: ModelConfig, p: Parameters, x: Value, h: Value) -> tuple[Value, Value]:
    """What the lowest layer's products read of x and h': Melis, Kocisky & Blunsom 2020, equations
    1 and 2, with one matrix for each round.
    """
    for i in range(1, (config.mogrifier or 0) + 1):
        M = p[f"rnn.weight_m{i}_l0"]
        if i % 2:
            x = 2 * sigmoid(h @ M.T) * x
        else:
            h = 2 * sigmoid(x @ M.T) * h
    return x, h


def clockwork_groups(config: ModelConfig) -> Array:
    """The group of each unit, int (H,): as equal as may be, the fastest first; its period is
    2^group.
    """
    H = config.hidden
    groups = min(config.clockwork_groups, H)
    return np.array([unit * groups // H for unit in range(H)])


def clockwork_reads(config: ModelConfig) -> Array:
    """1.0 where unit u (row) reads unit v (column), as slow as u or slower; (H, H)."""
    group = clockwork_groups(config)
    return (group[None, :] >= group[:, None]).astype(np.float64)


# The network
# --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Masks:
    """What chance decides in training, a list for each layer; None or empty where an option is off.

    output (T or 1, N, H): 0 or 1 / (1 - p), on what a layer sends up. keep_h, keep_c (T or 1, N,
    H): 1 where zoneout keeps the old value. recurrent (G H, H): 0 or 1 / (1 - p) on W_h. input (T,
    N): 0 or 1 / (1 - p), on the character's vectors.
    """

    output: Sequence[Any] = ()
    keep_h: Sequence[Any] = ()
    keep_c: Sequence[Any] = ()
    recurrent: Sequence[Any] = ()
    input: Any = None


@dataclass(frozen=True)
class Trace:
    """Losses (T, N) in nats, the logits (T, N, V), the final state (h, c) of every layer, what each
    layer computed at each step, before zoneout and before zeros, and the parameters as values.
    """

    losses: Array
    logits: Array
    states: States
    mean: Value
    steps: list[list[Step]] = field(repr=False)
    carried: list[States] = field(repr=False)
    """h and c of every layer after each step, with zoneout."""
    parameters: dict[str, Value] = field(repr=False)


def forward(
    config: ModelConfig,
    parameters: Parameters,
    x: Array,
    y: Array,
    states: States,
    starts: Array | None = None,
    masks: Masks | None = None,
) -> Trace:
    """Walk the stack over x (T, N) and judge it by y. `masks` None: evaluation, where zoneout mixes
    by its rates.

    starts (T, N) bool: the state is zero before that character is read, and what it was does not
    matter.
    """
    p = {name: Value(np.asarray(array, np.float64)) for name, array in parameters.items()}
    layers = [_layer(config, p, layer, masks) for layer in range(config.layers)]
    carried = [(value(h), value(c)) for h, c in states]
    losses, logits, steps, after = [], [], [], []
    for t, ids in enumerate(x):
        if starts is not None:
            kept = 1.0 - np.asarray(starts[t], np.float64)[:, None]
            carried = [(kept * h, kept * c) for h, c in carried]
        logits.append(p["decoder.bias"])
        out, m = _look_up(
            config, p, ids, None if masks is None or masks.input is None else masks.input[t]
        )
        steps.append([])
        for layer, cell in enumerate(layers):
            h, c = carried[layer]
            x_read, h_read = (out, h) if layer else mogrified(config, p, out, h)
            step = STEPS[config.cell](cell, x_read, h_read, c, m)
            steps[-1].append(step)
            new_h = _zoneout(h, step.h, config.zoneout_h, _at(masks and masks.keep_h, layer, t))
            new_c = step.c
            if config.cell in HAS_MEMORY:
                new_c = _zoneout(c, step.c, config.zoneout_c, _at(masks and masks.keep_c, layer, t))
            carried[layer] = new_h, new_c
            up = new_h if step.y is None else step.y
            up = up.normalized() if config.layer_norm else up
            mask = _at(masks and masks.output, layer, t)
            up = up if mask is None else mask * up
            out = up + out if config.residual and layer else up
            m = m if step.m is None else step.m
            is_read = config.skip or layer + 1 == config.layers
            logits[-1] = (
                logits[-1] + out @ p[decoder_name(config, layer)].T if is_read else logits[-1]
            )
        losses.append(cross_entropy(logits[-1], y[t]))
        after.append([(h.data, c.data) for h, c in carried])
    mean = (1 / x.size) * sum((loss.sum() for loss in losses), Value(0.0))
    return Trace(
        np.stack([loss.data for loss in losses]),
        np.stack([z.data for z in logits]),
        [(h.data, c.data) for h, c in carried],
        mean,
        steps,
        after,
        p,
    )


def _layer(config: ModelConfig, p: dict[str, Value], layer: int, masks: Masks | None) -> Layer:
    W_h = p[f"rnn.weight_hh_l{layer}"]
    if masks is not None and masks.recurrent:
        W_h = np.asarray(masks.recurrent[layer], np.float64) * W_h
    names = (f"rnn.weight_ih_l{layer}", f"rnn.bias_ih_l{layer}")
    return Layer(
        config,
        p[names[0]],
        W_h,
        p[names[1]],
        p.get(f"rnn.bias_hh_l{layer}"),
        p.get(f"rnn.peephole_l{layer}"),
    )


def _look_up(
    config: ModelConfig, p: dict[str, Value], ids: Array, factor: Any
) -> tuple[Value, Value]:
    """What the lowest layer gets: the character's vector (one-hot without an embedding), and its
    memory.
    """
    x = p["embedding.weight"][ids] if config.embedding else Value(np.eye(config.vocab_size)[ids])
    m = (
        p["rnn.memory.weight"][ids]
        if config.cell in READS_MEMORY
        else Value(np.zeros((len(ids), config.hidden)))
    )
    if factor is not None:
        scale = np.asarray(factor, np.float64)[:, None]
        x, m = scale * x, scale * m
    return x, m


def _zoneout(old: Value, new: Value, rate: float, keep: Any) -> Value:
    """Krueger et al. 2017: kept units have their old value; in evaluation, its expectation."""
    if not rate:
        return new
    share = rate if keep is None else keep
    return new + share * (old - new)


def _at(masks: Any, layer: int, t: int) -> Any:
    """The mask (N, H) of step t: one for all steps where only one was drawn."""
    if not masks or masks[layer] is None:
        return None
    mask = np.asarray(masks[layer], np.float64)
    return mask[t if len(mask) > 1 else 0]


def loss(
    config: ModelConfig,
    parameters: Parameters,
    x: Array,
    y: Array,
    states: States,
    starts: Array | None = None,
    masks: Masks | None = None,
) -> float:
    """The mean loss in nats."""
    return float(forward(config, parameters, x, y, states, starts, masks).mean.data)


def gradients(
    config: ModelConfig,
    parameters: Parameters,
    x: Array,
    y: Array,
    states: States,
    starts: Array | None = None,
    masks: Masks | None = None,
) -> tuple[float, dict[str, Array], States]:
    """(mean loss, its gradient by every parameter, final states)."""
    trace = forward(config, parameters, x, y, states, starts, masks)
    trace.mean.backward()
    return (
        float(trace.mean.data),
        {name: p.grad for name, p in trace.parameters.items()},
        trace.states,
    )


# What to test with
# --------------------------------------------------------------------------------------------------


def shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Names and shapes of all parameters on disk."""
    V, E, H, cell = config.vocab_size, config.embedding, config.hidden, config.cell
    found: dict[str, tuple[int, ...]] = {"embedding.weight": (V, E)} if E else {}
    if cell in READS_MEMORY:
        found["rnn.memory.weight"] = (V, H)
    for layer in range(config.layers):
        found[f"rnn.weight_ih_l{layer}"] = (GATES_X.get(cell, 4) * H, H if layer else E or V)
        found[f"rnn.weight_hh_l{layer}"] = (GATES_H.get(cell, 4) * H, H)
        found[f"rnn.bias_ih_l{layer}"] = (GATES_X.get(cell, 4) * H,)
        if cell == "gru-after":
            found[f"rnn.bias_hh_l{layer}"] = (3 * H,)
        if layer == 0:
            for i in range(1, (config.mogrifier or 0) + 1):
                found[f"rnn.weight_m{i}_l0"] = (E, H) if i % 2 else (H, E)
        if cell in PEEPHOLES:
            found[f"rnn.peephole_l{layer}"] = (PEEPHOLES[cell], H)
    if config.skip:
        found |= {decoder_name(config, layer): (V, H) for layer in range(config.layers)}
    return found | {"decoder.weight": (V, H), "decoder.bias": (V,)}


def decoder_name(config: ModelConfig, layer: int) -> str:
    """The decoder's weight for a layer's outputs."""
    return "decoder.weight" if layer + 1 == config.layers else f"decoder.weight_l{layer}"


def random_parameters(rng: np.random.Generator, config: ModelConfig) -> dict[str, Array]:
    """Normal, float32, wide enough that gates bend at any H; zero where a cell has no weight. Not
    training's first ones.
    """
    H = config.hidden
    parameters = {}
    for name, shape in shapes(config).items():
        scale = 0.5 * min(1, 2 / H**0.5) if name.startswith("rnn.weight") and shape[1] == H else 0.5
        parameters[name] = rng.normal(scale=scale, size=shape).astype(np.float32)
        if config.cell == "clockwork" and "weight_hh" in name:
            parameters[name] *= clockwork_reads(config).astype(np.float32)
        if "bias_hh" in name:
            parameters[name][: 2 * H] = 0  # only the n block is trained
    return parameters


def random_states(rng: np.random.Generator, config: ModelConfig, N: int) -> States:
    """A state (h, c) of every layer, float32: memories where the cell has them, clocks for the
    clockwork cell, else zero.
    """
    H, states = config.hidden, []
    for _ in range(config.layers):
        h = rng.uniform(-1, 1, (N, H)).astype(np.float32)
        c = np.zeros((N, H), np.float32)
        if config.cell in HAS_MEMORY:
            c = rng.normal(size=(N, H)).astype(np.float32)
        elif config.cell == "clockwork":
            time = rng.integers(1000, size=(N, 1))
            c = (time % 2 ** clockwork_groups(config)).astype(np.float32)
        states.append((h, c))
    return states


def zero_states(config: ModelConfig, N: int) -> States:
    """The states of a network that has read nothing."""
    return [(np.zeros((N, config.hidden)), np.zeros((N, config.hidden)))] * config.layers
