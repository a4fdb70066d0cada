"""Attention over the last symbols in an ONNX model (kernels/attention.py has the equations)."""

from __future__ import annotations

import numpy as np

from charrnn.export.onnx_graph import Graph, Value
from charrnn.network.model import Model
from charrnn.network.parameters import attention_biases, root_of


def looked_back(
    graph: Graph,
    model: Model,
    logits: Value,
    x: Value,
    ids: Value,
    ring: tuple[Value, Value],
    prefix: str,
) -> tuple[tuple[Value, Value], Value, Value]:
    """What the network says and what it copies, and the new keys and read.

    The first two are probabilities, (T, N, V), whose sum is p.
    logits (T, N, V): of what it says. x (T, N, H): the top layer's outputs. ring: keys (M, N, d)
        and read (M, N, 1), 1 + id or 0. prefix: of the names of the network's tensors.
    """
    config, M = model.config, model.config.attention
    weight = dict(model.parameters.to_disk())["attention.weight"]
    query, key = (x @ graph.constant(f"{prefix}attention", weight.T)).blocks(2)
    symbols = ids.unsqueezed(2).cast(np.float32) + graph.constant("one", np.array([1], np.float32))
    keys = graph.node("Concat", ring[0], key, axis=0)
    read = graph.node("Concat", ring[1], symbols, axis=0)

    never = graph.constant("never", np.array([-np.inf], np.float32))
    of_distance = np.concatenate([[-np.inf], attention_biases(model.parameters, config)[::-1]])
    table = np.concatenate([of_distance, [-np.inf]]).astype(np.float32)
    bias = graph.node(
        "Gather", graph.constant(f"{prefix}nearness", table), _distances(graph, ids, M)
    )
    root = graph.constant("root", np.array([root_of(config)]))
    a = query.transposed(1, 0, 2) @ keys.transposed(1, 2, 0) * root + bias.unsqueezed(0)
    is_read = graph.constant("nothing", np.array([0], np.float32)) < read.transposed(1, 2, 0)
    a = is_read.where_true(a, never)

    z = logits.transposed(1, 0, 2)
    largest = graph.node(
        "Max", *(graph.node("ReduceMax", each, axes=[-1], keepdims=1) for each in (z, a))
    )
    followed = (read.cut(0, 1).squeezed(2).cast(np.int64) - graph.numbers(1)).transposed(1, 0)
    values = graph.constant("off_on", np.array([0, 1], np.float32))
    one_hot = graph.node("OneHot", followed, graph.numbers(config.vocab_size), values)
    own, others = (graph.node("Exp", each - largest) for each in (z, a))
    copied = others.cut(2, 0, -1) @ one_hot
    total = graph.node("ReduceSum", own + copied, graph.numbers(-1), keepdims=1)
    said, copied = ((each / total).transposed(1, 0, 2) for each in (own, copied))
    return (said, copied), keys.cut(0, -M), read.cut(0, -M)


def _distances(graph: Graph, ids: Value, M: int) -> Value:
    """How far each of the last M positions and the T of ids lies before each of ids, int64 (T, M +
    T): 0 for those that do not, M + 1 for those too far away.
    """
    zero, one, far = (graph.constant(f"at.{n}", np.array(n, np.int64)) for n in (0, 1, M + 1))
    T = graph.node("Gather", graph.node("Shape", ids), zero)
    J = T + graph.constant(f"at.{M}", np.array(M, np.int64))
    steps = graph.node("Range", zero, T, one).unsqueezed(1)
    places = graph.node("Range", zero, J, one).unsqueezed(0)
    distance = steps + graph.numbers(M) - places
    return graph.node("Clip", distance, zero, far)
