"""ONNX graphs, written as equations: a `Value` is a tensor of a graph, and what is done with it
becomes a node.

    i, f = (x @ weight + bias).blocks(2)
    c = f.sigmoid() * c + i.sigmoid()

Names are counted, so that the same equations give the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto, NodeProto, TensorProto, ValueInfoProto
from onnx.helper import (
    make_graph,
    make_node,
    make_tensor_value_info,
    np_dtype_to_tensor_dtype,
)
from onnx.numpy_helper import from_array

Dimensions = Sequence[int | str]
"""The shape of a tensor; a name stands for a size that each call chooses."""


LAST = 2**62
"""The end of an axis, whatever its size."""


@dataclass(frozen=True)
class Value:
    """A tensor of a graph: float32, unless it was made from other numbers."""

    graph: Graph
    name: str

    def __add__(self, other: Value) -> Value:
        return self.graph.node("Add", self, other)

    def __sub__(self, other: Value) -> Value:
        return self.graph.node("Sub", self, other)

    def __mul__(self, other: Value) -> Value:
        return self.graph.node("Mul", self, other)

    def __truediv__(self, other: Value) -> Value:
        return self.graph.node("Div", self, other)

    def __matmul__(self, other: Value) -> Value:
        return self.graph.node("MatMul", self, other)

    def __lt__(self, other: Value) -> Value:
        return self.graph.node("Less", self, other)

    def sigmoid(self) -> Value:
        """1 / (1 + exp(-x))."""
        return self.graph.node("Sigmoid", self)

    def where_true(self, this: Value, other: Value) -> Value:
        """`this` where this truth value is true, else `other`."""
        return self.graph.node("Where", self, this, other)

    def log(self) -> Value:
        """The natural logarithm."""
        return self.graph.node("Log", self)

    def blocks(self, count: int) -> list[Value]:
        """The last axis in `count` equal parts."""
        return self.parts(count, axis=-1)

    def parts(self, count: int, axis: int) -> list[Value]:
        """An axis in `count` equal parts."""
        return [self] if count == 1 else self.graph.nodes("Split", self, outputs=count, axis=axis)

    def squeezed(self, axis: int) -> Value:
        """Without this axis, whose size is 1."""
        return self.graph.node("Squeeze", self, self.graph.numbers(axis))

    def transposed(self, *axes: int) -> Value:
        """With its axes in this order."""
        return self.graph.node("Transpose", self, perm=axes)

    def cut(self, axis: int, start: int, stop: int = LAST) -> Value:
        """start:stop of an axis."""
        ends = (self.graph.numbers(number) for number in (start, stop, axis))
        return self.graph.node("Slice", self, *ends)

    def cast(self, kind: type[np.generic]) -> Value:
        """In another type."""
        return self.graph.node("Cast", self, to=np_dtype_to_tensor_dtype(np.dtype(kind)))

    def unsqueezed(self, axis: int) -> Value:
        """With an axis of size 1 here."""
        return self.graph.node("Unsqueeze", self, self.graph.numbers(axis))


class Graph:
    """A graph that is being built; one inside another shares its constants and its names."""

    def __init__(self, outer: Graph | None = None) -> None:
        self._outer = outer
        self._nodes: list[NodeProto] = []
        self._inputs: list[ValueInfoProto] = []
        self._outputs: list[ValueInfoProto] = []
        self._constants: dict[str, TensorProto] = {} if outer is None else outer._constants
        self._counted: dict[str, int] = {} if outer is None else outer._counted

    def input(self, name: str, kind: type[np.generic], shape: Dimensions) -> Value:
        """A tensor that each call gives, of this type and shape."""
        self._inputs.append(_declared(name, kind, shape))
        return Value(self, name)

    def output(self, name: str, kind: type[np.generic], shape: Dimensions, value: Value) -> None:
        """Return a value under this name."""
        self._nodes.append(make_node("Identity", [value.name], [name], name=name))
        self._outputs.append(_declared(name, kind, shape))

    def constant(self, name: str, array: NDArray[Any]) -> Value:
        """A tensor of the file, with a name of its own, or the one that already has this name."""
        if name not in self._constants:
            self._constants[name] = from_array(np.ascontiguousarray(array), name)
        return Value(self, name)

    def numbers(self, *numbers: int) -> Value:
        """Whole numbers, int64 (K,)."""
        return self.constant("int." + ".".join(map(str, numbers)), np.array(numbers, np.int64))

    def zeros(self, *shape: int) -> Value:
        """float32 zeros, which take no room in the file."""
        return self.node("ConstantOfShape", self.numbers(*shape))

    def node(self, operator: str, *inputs: Value | None, **attributes: Any) -> Value:
        """What an operator makes of its inputs; None is one that is left out."""
        return self.nodes(operator, *inputs, outputs=1, **attributes)[0]

    def nodes(
        self, operator: str, *inputs: Value | None, outputs: int, **attributes: Any
    ) -> list[Value]:
        """As `node`, for an operator with several outputs."""
        number = self._counted[operator] = self._counted.get(operator, 0) + 1
        name = f"{operator.lower()}_{number}"
        names = [name] if outputs == 1 else [f"{name}.{k}" for k in range(outputs)]
        read = ["" if value is None else value.name for value in inputs]
        self._nodes.append(make_node(operator, read, names, name=name, **attributes))
        return [Value(self, each) for each in names]

    def made(self, name: str) -> GraphProto:
        """The finished graph; the outermost one holds the constants of all."""
        constants = list(self._constants.values()) if self._outer is None else []
        return make_graph(self._nodes, name, self._inputs, self._outputs, constants)


def _declared(name: str, kind: type[np.generic], shape: Dimensions) -> ValueInfoProto:
    return make_tensor_value_info(name, np_dtype_to_tensor_dtype(np.dtype(kind)), shape)
