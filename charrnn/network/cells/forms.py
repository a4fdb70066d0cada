"""The kernels of a cell, built from its equations: a loop over streams, and inside it over
units.

The rows of an equation are named after what they are: an argument of the kernel below, a block of
z, or a vector of p.
"""

import sys
from types import FunctionType
from typing import Any

from numba.core import cgutils

from charrnn.compiler.compiling import kernel
from charrnn.compiler.emitter import FLOAT, I64, emits
from charrnn.compiler.rows import Equation
from charrnn.kernels.recurrent import (
    PLANE,
    PREPARE,
    PREPARE_BACK,
    STEP,
    STEP_BACK,
    Ports,
    PortsBack,
)


def step(z, h_before, c_before, h, c, ports, activation, start, stop):
    """One step of streams start:stop. z (N, G H) is read and then holds the gates; h, c (N, H) and
    the ports y and m are written.
    """
    equations(z, h_before, c_before, h, c, ports, activation, start, stop)  # noqa: F821


def step_back(z, h_before, c_before, dh_before, dc_before, dh, dc, ports, activation, start, stop):
    """Back through `step`. z holds the gates and then dz; dh, dc of this step and the ports dy and
    dm are read, dh_before and dc_before are added to, dm_below is written.
    """
    equations(z, h_before, c_before, dh_before, dc_before, dh, dc, ports, activation, start, stop)  # noqa: F821


def prepare(z, h_before, q, start, stop):
    """q (N, H), the factor of W_q, of streams start:stop. What it reads of z becomes gates."""
    equations(z, h_before, q, start, stop)  # noqa: F821


def prepare_back(z, h_before, dq, dh_before, start, stop):
    """Back through `prepare`. Its gates become dz; dq is read, dh_before is added to."""
    equations(z, h_before, dq, dh_before, start, stop)  # noqa: F821


SIGNATURES = {step: STEP, step_back: STEP_BACK, prepare: PREPARE, prepare_back: PREPARE_BACK}
FORMS = {form.__name__: form for form in SIGNATURES}


def cell_kernel(
    name: str,
    module: str,
    blocks: tuple[str, ...],
    *equations: Equation,
    vectors: tuple[str, ...] = (),
) -> Any:
    """The kernel of one of the forms above with these equations, for a cell's module.

    name: `step`, `step_back`, `prepare` or `prepare_back`
    blocks: the equations' names for the blocks of z
    vectors: their names for the rows of p
    """
    code, signature = FORMS[name].__code__, SIGNATURES[FORMS[name]]

    @emits(signature)
    def emit_equations(emit, *arguments):
        build = emit.builder
        values = dict(zip(code.co_varnames, arguments, strict=True))
        start, stop, phi = values.pop("start"), values.pop("stop"), values.pop("activation", None)
        if phi is not None:
            fields = (PortsBack if name == "step_back" else Ports)._fields
            ports = cgutils.unpack_tuple(build, values.pop("ports"))
            values |= zip(fields, ports, strict=True)
        make = emit.context.make_array(PLANE)
        planes = {row: make(emit.context, build, value) for row, value in values.items()}
        shapes = {row: cgutils.unpack_tuple(build, plane.shape) for row, plane in planes.items()}
        H = shapes["h_before"][1]

        def stream(n, _):
            rows = {
                row: emit.at(plane.data, FLOAT, build.mul(n, shapes[row][1]))
                for row, plane in planes.items()
            }
            parts = [(rows["z"], blocks), (planes["p"].data if vectors else None, vectors)]
            for base, names in parts:
                for k, row in enumerate(names):
                    rows[row] = emit.at(base, FLOAT, build.mul(H, I64(k)))
            for equation in equations:
                equation.emit(emit, H, rows, phi)
            return []

        emit.loop(stop, 1, [], stream, start=start)

    # as if defined in the cell's file, which Numba's cache uses in its names
    here = code.replace(co_filename=sys.modules[module].__file__)
    return kernel(signature)(FunctionType(here, {"__name__": module, "equations": emit_equations}))
