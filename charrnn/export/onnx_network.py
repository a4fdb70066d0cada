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
from charrnn.export.onnx_graph import Graph, Value
from charrnn.export.onnx_native import Layer, Outputs, States, is_native, native
from charrnn.export.onnx_scan import scanned
from charrnn.kernels.normalization import EPSILON
from charrnn.network.cells import cell_named
from charrnn.network.parameters import Floats, decoder_names

OPSET, IR_VERSION = 17, 8
"""Of ONNX 1.12 (2022): what runtimes since then can read."""


def model_of(
    networks: Mixture, properties: Mapping[str, str], about: bytes, doc: str
) -> ModelProto:
    """The model with these properties and this description; `export_onnx` says what is in it."""
    config = networks[0].model.config
    L, H, V = len(networks) * config.layers, config.hidden, config.vocab_size
    names, graph = state_names(config), Graph()
    ids = graph.input("ids", np.int64, ("T", "N"))
    states = {name: graph.input(name, np.float32, (L, "N", H)) for name in names}
    before = {name: state.parts(L, axis=0) for name, state in states.items()}
    logits, after = [], dict[str, list[Value]]()
    for number, network in enumerate(networks):
        prefix = f"networks.{number}." if len(networks) > 1 else ""
        own = slice(number * config.layers, (number + 1) * config.layers)
        state = {name: layers[own] for name, layers in before.items()}
        arrays = dict(network.model.parameters.to_disk())
        made, ends = _stack(graph, config, arrays, ids, state, prefix)
        logits.append(made)
        for name, layers in ends.items():
            after.setdefault(name, []).extend(layers)
    joined = {name: graph.node("Concat", *after[name], axis=0) for name in names}
    graph.output("logits", np.float32, ("T", "N", V), _log_of_mean(graph, logits))
    for name, value in joined.items():
        graph.output(f"next_{name}", np.float32, (L, "N", H), value)
    openings = [network.opening for network in networks]
    start_ids = graph.constant("starts.ids", openings[0].ids.astype(np.int64))
    graph.output("start_ids", np.int64, openings[0].ids.shape, start_ids)
    for name in names:
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


def state_names(config: ModelConfig) -> tuple[str, ...]:
    """What a network carries from step to step: h, and c where it is a memory or a clock."""
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


def _stack(
    graph: Graph,
    config: ModelConfig,
    arrays: Mapping[str, Floats],
    ids: Value,
    before: Mapping[str, Sequence[Value]],
    prefix: str,
) -> tuple[Value, dict[str, list[Value]]]:
    """The logits of ids (T, N), and each layer's state (1, N, H) after the last step.

    before: each layer's state. prefix: of the names of the network's tensors.
    """
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
        state = {each: states[index] for each, states in before.items()}
        made = _layer(graph, layer, ids, x, state, m)
        y = _normalized(graph, config, made.y)
        x, m = (y + x if config.residual and index and x else y), made.m
        for each, value in made.state.items():
            after[each].append(value)
        if name:
            logits = logits + x @ layer.constant(graph, "decoder", arrays[name].T)
    return logits, after


def _layer(
    graph: Graph, layer: Layer, ids: Value, x: Value | None, state: States, m: Value | None
) -> Outputs:
    """A layer over x (T, N, D); the lowest one may read the ids alone."""
    if is_native(layer.config):
        return native(graph, layer, x or _one_hot(graph, layer.config, ids), state)
    weight = layer.constant(graph, "W_x", layer["weight_ih"].T)
    product = graph.node("Gather", weight, ids) if x is None else x @ weight
    return scanned(graph, layer, product + layer.constant(graph, "b", layer["bias_ih"]), state, m)


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
