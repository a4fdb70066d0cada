"""A network as an ONNX model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from onnx import ModelProto
from onnx.helper import make_model, make_opsetid, set_model_props

from charrnn.checkpoint.trained import Trained
from charrnn.config import ModelConfig
from charrnn.export.onnx_graph import Graph, Value
from charrnn.export.onnx_native import Layer, Outputs, States, is_native, native
from charrnn.export.onnx_scan import scanned
from charrnn.kernels.normalization import EPSILON
from charrnn.network.cells import cell_named
from charrnn.network.parameters import Floats, decoder_names

OPSET, IR_VERSION = 17, 8
"""Of ONNX 1.12 (2022): what runtimes since then can read."""


def model_of(trained: Trained, properties: Mapping[str, str], about: bytes, doc: str) -> ModelProto:
    """The model with these properties and this description; `export_onnx` says what is in it."""
    config = trained.model.config
    L, H, V = config.layers, config.hidden, config.vocab_size
    names, graph = state_names(config), Graph()
    ids = graph.input("ids", np.int64, ("T", "N"))
    states = {name: graph.input(name, np.float32, (L, "N", H)) for name in names}
    arrays = dict(trained.model.parameters.to_disk())
    logits, after = _stack(graph, config, arrays, ids, states)
    graph.output("logits", np.float32, ("T", "N", V), logits)
    for name, value in after.items():
        graph.output(f"next_{name}", np.float32, (L, "N", H), value)
    starts = trained.opening
    start_ids = graph.constant("starts.ids", starts.ids.astype(np.int64))
    graph.output("start_ids", np.int64, starts.ids.shape, start_ids)
    for name in names:
        array = getattr(starts.state, name)[..., :H].transpose(1, 0, 2)[:, :, None]
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


def _stack(
    graph: Graph, config: ModelConfig, arrays: Mapping[str, Floats], ids: Value, states: States
) -> tuple[Value, States]:
    """The logits of ids (T, N), and the states (L, N, H) after the last step."""
    before = {name: state.parts(config.layers, axis=0) for name, state in states.items()}
    after: dict[str, list[Value]] = {name: [] for name in states}
    x = m = None
    if config.embedding:
        x = graph.node("Gather", graph.constant("embedding", arrays["embedding.weight"]), ids)
    if cell_named(config.cell).reads_below:
        m = graph.node("Gather", graph.constant("memory", arrays["rnn.memory.weight"]), ids)
    logits = graph.constant("decoder.bias", arrays["decoder.bias"])
    for index, name in enumerate(decoder_names(config)):
        layer, state = Layer(config, index, arrays), {n: all_[index] for n, all_ in before.items()}
        made = _layer(graph, layer, ids, x, state, m)
        y = _normalized(graph, config, made.y)
        x, m = (y + x if config.residual and index and x else y), made.m
        for each, value in made.state.items():
            after[each].append(value)
        if name:
            logits = logits + x @ graph.constant(f"layers.{index}.decoder", arrays[name].T)
    return logits, {name: graph.node("Concat", *after[name], axis=0) for name in states}


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
