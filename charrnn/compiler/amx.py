"""Products of tiles of bfloat16 numbers by Intel's AMX, which multiplies sixteen times as many
numbers in a cycle as AVX-512 does.

A tile register holds 16 rows of 64 bytes. One instruction, tdpbf16ps, adds to a tile C (16, 16) of
float32 the product of A (16, 16) and B (16, 16), whose words hold two numbers each: those of 2k
(below) and 2k + 1 (above), as in `bfloat16`. For each element of C

    low = sum over k of a(2k) b(2k),  high = sum over k of a(2k + 1) b(2k + 1),  c += low + high

in float32, each addition rounded to nearest even, numbers below 2^-126 zero (Intel Architecture
Instruction Set Extensions Programming Reference, chapter 3). So the bits differ from those of
vdpbf16ps, but not between tilings.

Tiles 0 to 3 hold C, 4 and 5 A, 6 and 7 B.
"""

import ctypes
import platform
import sys
from functools import cache

from llvmlite import binding, ir
from numba import intp, void

from charrnn.compiler.bfloat16 import INSTRUCTION
from charrnn.compiler.emitter import FLOAT, I8, I32, I64, Emitter, constant, emits
from charrnn.errors import ConfigError

_ARCH_PRCTL, _REQUEST_PERMISSION, _TILE_DATA = 158, 0x1023, 18
"""Linux's system call, and its request to use the tile registers (the kernel's documentation,
arch/x86/xstate).
"""
TILE_BYTES = 1024
SHAPES = (1, 1), (1, 2), (1, 3), (1, 4), (2, 1), (2, 2)
"""Tiles down and across whose sums are computed together."""


ROW = ir.VectorType(FLOAT, 16)
HAS_INSTRUCTION = INSTRUCTION and all(
    binding.get_host_cpu_features().get(name) for name in ("amx-tile", "amx-bf16")
)
"""True if kernels are compiled for the tiles. Where they are not, LLVM has no code for these
instructions, and kernels that must never be called are compiled without them.
"""


@cache
def is_there() -> bool:
    """True if this process may use the tile registers and its kernels are compiled for them; asks
    the system for them on first use.
    """
    if not (HAS_INSTRUCTION and sys.platform == "linux" and platform.machine() == "x86_64"):
        return False
    call = ctypes.CDLL(None).syscall
    return bool(call(_ARCH_PRCTL, _REQUEST_PERMISSION, _TILE_DATA) == 0)


def check_amx() -> None:
    """`ConfigError` if the processor or the system does not have it."""
    if not is_there():
        raise ConfigError(
            "`precision` amx needs a processor with AMX-BF16 and Linux, which this machine lacks; "
            "use `precision` float32"
        )


def _place(emit: Emitter, address):
    return emit.builder.inttoptr(address, I8.as_pointer())


def _call(emit: Emitter, name: str, *values) -> None:
    """One of LLVM's functions for tiles."""
    if HAS_INSTRUCTION:
        emit.call(f"llvm.x86.{name}", ir.VoidType(), *values)


@emits(void(intp, intp, intp))
def configure(emit, memory, rows, words):
    """Set up the tiles by 64 bytes at an address, which are overwritten: C has `rows` rows, A
    `rows` rows of `words` words, B `words` rows.
    """
    build = emit.builder
    colsb = build.mul(words, I64(4 | 4 << 16))  # tiles 4 and 5
    fields = {
        0: I64(1),
        2: I64(0x0040004000400040),
        3: build.or_(colsb, I64(0x0040004000000000)),
        6: build.or_(build.mul(rows, I64(0x010101010101)), build.mul(words, I64(0x0101 << 48))),
    }
    for place in range(8):
        emit.builder.store(fields.get(place, I64(0)), emit.at(memory, I64, place))
    _call(emit, "ldtilecfg", _place(emit, memory))


@emits(void())
def release(emit):
    """Give the tile registers back."""
    _call(emit, "tilerelease")


def block_kernel(a_step: int):
    """An intrinsic: C = S + A B for one of `SHAPES`.

    kernel(shape, a, a_row, a_next, b, b_next, s, s_row, s_next, c, c_row, c_next, depth): shape is
    tiles down + 8 * tiles across, everything else in bytes, but depth in tiles. Tile (i, k) of A
    lies at a + i * a_next + k * a_step, with a_row from row to row; (k, j) of B at b + j * b_next +
    k * 1024, its rows one after the other; (i, j) of S at s + i * s_next + 64 j, of C likewise. s =
    0 stands for zeros.
    """

    @emits(void(*[intp] * 13))
    def kernel(emit, shape, a, a_row, a_next, b, b_next, s, s_row, s_next, c, c_row, c_next, depth):
        with emit.cases(shape) as case:
            for down, across in SHAPES:
                with case(down + 8 * across):
                    sums = _Sums(emit, down, across)
                    sums.read(s, s_row, s_next)
                    sums.add(a, a_row, a_next, a_step, b, b_next, depth)
                    sums.write(c, c_row, c_next)

    return kernel


class _Sums:
    """The tiles of C that are computed together."""

    def __init__(self, emit: Emitter, down: int, across: int) -> None:
        self.emit, self.build, self.down, self.across = emit, emit.builder, down, across

    def places(self, base, next_):
        """The number and the address of each tile."""
        for i in range(self.down):
            row = self.build.add(base, self.build.mul(next_, I64(i)))
            for j in range(self.across):
                yield i * self.across + j, self.build.add(row, I64(64 * j))

    def read(self, s, s_row, s_next):
        build = self.build
        blocks = [build.append_basic_block(name) for name in ("zero", "read", "start")]
        build.cbranch(build.icmp_signed("==", s, I64(0)), *blocks[:2])
        build.position_at_end(blocks[0])
        for tile, _ in self.places(s, s_next):
            _call(self.emit, "tilezero", I8(tile))
        build.branch(blocks[2])
        build.position_at_end(blocks[1])
        for tile, place in self.places(s, s_next):
            _call(self.emit, "tileloadd64", I8(tile), _place(self.emit, place), s_row)
        build.branch(blocks[2])
        build.position_at_end(blocks[2])

    def add(self, a, a_row, a_next, a_step, b, b_next, depth):
        build = self.build

        def body(k, _):
            left = build.add(a, build.mul(k, I64(a_step)))
            right = build.add(b, build.mul(k, I64(TILE_BYTES)))
            for i in range(self.down):
                place = build.add(left, build.mul(a_next, I64(i)))
                _call(self.emit, "tileloadd64", I8(4 + i), _place(self.emit, place), a_row)
            for j in range(self.across):
                place = build.add(right, build.mul(b_next, I64(j)))
                _call(self.emit, "tileloadd64", I8(6 + j % 2), _place(self.emit, place), I64(64))
                for i in range(self.down):
                    numbers = i * self.across + j, 4 + i, 6 + j % 2
                    _call(self.emit, "tdpbf16ps", *map(I8, numbers))
            return []

        self.emit.loop(depth, 1, [], body)

    def write(self, c, c_row, c_next):
        for tile, place in self.places(c, c_next):
            _call(self.emit, "tilestored64", I8(tile), _place(self.emit, place), c_row)


@emits(void(intp, intp, intp))
def transpose_words(emit, target, source, pitch):
    """Transpose 16 rows of 16 words, `pitch` words apart, at an address into 16 rows one after the
    other at another.
    """
    build, rows = emit.builder, []
    for m in range(16):
        place = build.add(source, build.mul(pitch, I64(4 * m)))
        row = build.load(build.inttoptr(place, ROW.as_pointer()))
        row.align = 4
        rows.append(row)
    step = 1
    while step < 16:  # exchange blocks of `step` rows and columns across the diagonal
        upper = [k if not k & step else 16 + k - step for k in range(16)]
        lower = [k + step if not k & step else 16 + k for k in range(16)]
        new = list(rows)
        for m in range(16):
            if not m & step:
                pair = rows[m], rows[m + step]
                for place, lanes in ((m, upper), (m + step, lower)):
                    mask = ir.Constant(ir.VectorType(I32, 16), lanes)
                    new[place] = build.shuffle_vector(*pair, mask)
        rows, step = new, 2 * step
    for m, row in enumerate(rows):
        emit.store(row, target, 16 * m)


@emits(void(intp))
def zero_lanes(emit, target):
    """Write LANES words of zeros to an address."""
    emit.store(constant(ROW, 0.0), target)
