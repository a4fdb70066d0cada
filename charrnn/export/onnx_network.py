"""A network, or several whose probabilities are averaged, as an ONNX model."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from onnx import ModelProto
from onnx.helper import make_model, make_opsetid, set_model_props

from charrnn.checkpoint.mixture import Mixture
from charrnn.config import ModelConfig
from charrnn.export.onnx_attention import looked_back
from charrnn.export.onnx_graph import Graph, Value
from charrnn.export.onnx_native import Layer, Outputs, States, is_native, native
from charrnn.export.onnx_scan import scanned
from charrnn.kernels.normalization import EPSILON
from charrnn.network.cells import cell_named
from charrnn.network.model import Model
from charrnn.network.parameters import ATTENTION_UNITS, decoder_names

LEAST = 1e-38
"""Before a logarithm."""
OPSET, IR_VERSION = 17, 8
"""Of ONNX 1.12 (2022): what runtimes since then can read."""


def model_of(
    networks: Mixture, properties: Mapping[str, str], about: bytes, doc: str
) -> ModelProto:
    """The model with these properties and this description; `export_onnx` says what is in it."""
    config = networks[0].model.config
    K, H, V, graph = len(networks), config.hidden, config.vocab_size, Graph()
    parts = state_parts(config)
    shapes = {name: (K * count * rows, width) for name, (count, rows, width) in parts.items()}
    ids, before = graph.input("ids", np.int64, ("T", "N")), dict[str, list[Value]]()
    for name, (rows, width) in shapes.items():
        state = graph.input(name, np.float32, (rows, "N", width))
        before[name] = state.parts(K * parts[name][0], axis=0)
    outlooks, after = [], dict[str, list[Value]]()
    for number, network in enumerate(networks):
        prefix = f"networks.{number}." if len(networks) > 1 else ""
        own = {
            name: before[name][number * count : (number + 1) * count]
            for name, (count, _, _) in parts.items()
        }
        made, ends = _stack(graph, network.model, ids, own, prefix)
        outlooks.append(made)
        for name, layers in ends.items():
            after.setdefault(name, []).extend(layers)
    joined = {name: graph.node("Concat", *after[name], axis=0) for name in shapes}
    _expect(graph, outlooks, V)
    for name, value in joined.items():
        rows, width = shapes[name]
        graph.output(f"next_{name}", np.float32, (rows, "N", width), value)
    openings = [network.opening for network in networks]
    start_ids = graph.constant("starts.ids", openings[0].ids.astype(np.int64))
    graph.output("start_ids", np.int64, openings[0].ids.shape, start_ids)
    for name, (rows, width) in shapes.items():
        if name not in cells_carry(config):
            shape = len(openings[0]), rows, 1, width
            graph.output(f"start_{name}", np.float32, shape, graph.zeros(*shape))
            continue
        starts = np.concatenate([getattr(each.state, name)[..., :H] for each in openings])
        array = starts.transpose(1, 0, 2)[:, :, None]
        value = graph.constant(f"starts.{name}", array)
        graph.output(f"start_{name}", np.float32, array.shape, value)
    text = np.frombuffer(about, np.uint8)
    graph.output("about", np.uint8, text.shape, graph.constant("json", text))
    model = make_model(
        graph.made("charrnn"),
        producer_name="charrnn",
        ir_version=IR_VERSION,
        opset_imports=[make_opsetid("", OPSET)],
        doc_string=doc,
    )
    set_model_props(model, dict(properties))
    return model


def state_parts(config: ModelConfig) -> dict[str, tuple[int, int, int]]:
    """What a network carries from step to step, in the order of the inputs: of each name the number
    of parts, and the rows and the width of each. h and c have a part for each layer; attention adds
    the keys of the last M symbols, and the symbols, 1 + id or 0.
    """
    parts = dict.fromkeys(cells_carry(config), (config.layers, 1, config.hidden))
    M = config.attention
    return parts | ({"keys": (1, M, ATTENTION_UNITS), "read": (1, M, 1)} if M else {})


def cells_carry(config: ModelConfig) -> tuple[str, ...]:
    """What cells carry: h, and c where it is a memory or a clock."""
    has_c = cell_named(config.cell).has_memory or config.cell == "clockwork"
    return ("h", "c") if has_c else ("h",)


def _log_of_mean(graph: Graph, logits: Sequence[Value]) -> Value:
    """The logits of one network; of several, the log of the mean of their probabilities."""
    if len(logits) == 1:
        return logits[0]
    logs = [graph.node("LogSoftmax", each, axis=-1).unsqueezed(0) for each in logits]
    stacked = graph.node("Concat", *logs, axis=0)
    total = graph.node("ReduceLogSumExp", stacked, axes=[0], keepdims=0)
    return total - graph.constant("log.networks", np.array(math.log(len(logits)), np.float32))


def _expect(graph: Graph, outlooks: Sequence[tuple[Value, ...]], V: int) -> None:
    """Output the logits and, with attention, both parts of the distribution. An outlook is a
    network's logits, or these two parts (`looked_back`).
    """
    shape = "T", "N", V
    if len(outlooks[0]) == 1:
        logits = _log_of_mean(graph, [each for (each,) in outlooks])
        graph.output("logits", np.float32, shape, logits)
        return
    own, copied = (_mean(graph, each) for each in zip(*outlooks, strict=True))
    least = graph.constant("least", np.array([LEAST], np.float32))
    graph.output("logits", np.float32, shape, graph.node("Max", own + copied, least).log())
    graph.output("own", np.float32, shape, own)
    graph.output("copied", np.float32, shape, copied)


def _mean(graph: Graph, values: Sequence[Value]) -> Value:
    return values[0] if len(values) == 1 else graph.node("Mean", *values)


def _stack(
    graph: Graph,
    model: Model,
    ids: Value,
    before: Mapping[str, Sequence[Value]],
    prefix: str,
) -> tuple[tuple[Value, ...], dict[str, list[Value]]]:
    """The logits of ids (T, N), or with attention both parts of the distribution; and the parts of
    the state after the last step.

    before: the parts of the state (`state_parts`). prefix: of the names of the network's tensors.
    """
    config, arrays = model.config, dict(model.parameters.to_disk())
    after: dict[str, list[Value]] = {name: [] for name in before}
    x = m = None
    if config.embedding:
        x = graph.node(
            "Gather", graph.constant(f"{prefix}embedding", arrays["embedding.weight"]), ids
        )
    if cell_named(config.cell).reads_below:
        m = graph.node(
            "Gather", graph.constant(f"{prefix}memory", arrays["rnn.memory.weight"]), ids
        )
    logits = graph.constant(f"{prefix}decoder.bias", arrays["decoder.bias"])
    for index, name in enumerate(decoder_names(config)):
        layer = Layer(config, index, arrays, prefix)
        state = {each: before[each][index] for each in cells_carry(config)}
        made = _layer(graph, layer, ids, x, state, m)
        y = _normalized(graph, config, made.y)
        x, m = (y + x if config.residual and index and x else y), made.m
        for each, value in made.state.items():
            after[each].append(value)
        if name:
            logits = logits + x @ layer.constant(graph, "decoder", arrays[name].T)
    if config.attention and x is not None:
        ring = before["keys"][0], before["read"][0]
        outlook, *ends = looked_back(graph, model, logits, x, ids, ring, prefix)
        after["keys"], after["read"] = ([end] for end in ends)
        return outlook, after
    return (logits,), after


def _layer(
    graph: Graph, layer: Layer, ids: Value, x: Value | None, state: States, m: Value | None
) -> Outputs:
    """A layer over x (T, N, D); the lowest one may read the ids alone."""
    if is_native(layer):
        return native(graph, layer, x or _one_hot(graph, layer.config, ids), state)
    if x and layer.rounds:
        return scanned(graph, layer, {"x": x}, state)
    weight = layer.constant(graph, "W_x", layer["weight_ih"].T)
    product = graph.node("Gather", weight, ids) if x is None else x @ weight
    a = product + layer.constant(graph, "b", layer["bias_ih"])
    return scanned(graph, layer, {"a": a} | ({"m": m} if m else {}), state)


def _one_hot(graph: Graph, config: ModelConfig, ids: Value) -> Value:
    """(T, N, V): 1 at each id."""
    values = graph.constant("off_on", np.array([0, 1], np.float32))
    return graph.node("OneHot", ids, graph.numbers(config.vocab_size), values)


def _normalized(graph: Graph, config: ModelConfig, y: Value) -> Value:
    """Ba, Kiros & Hinton 2016, equation 3, without gain and bias."""
    if not config.layer_norm:
        return y
    ones = graph.constant("ones", np.ones(config.hidden, np.float32))
    options: dict[str, Any] = {"axis": -1, "epsilon": EPSILON}
    return graph.node("LayerNormalization", y, ones, **options)
