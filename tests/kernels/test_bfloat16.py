"""Training in bfloat16: rounding and products to the bit, networks close to float32, and what must
never change a result.
"""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from llvmlite import binding, ir
from numba import njit

from charrnn.cli.main import cli
from charrnn.compiler import bfloat16, emitter, simd, target
from charrnn.compiler.calling import address_of
from charrnn.compiler.simd import LANES, MR, NR
from charrnn.config.sampling import SamplingConfig
from charrnn.config.training import TrainConfig
from charrnn.errors import ConfigError
from charrnn.evaluation.evaluate import evaluate
from charrnn.generation.generate import generate
from charrnn.kernels import layers
from charrnn.kernels.bfloat16_product import (
    BLOCK,
    pack_pairs,
    pack_pairs_transposed,
    pair_product,
    pair_product_packed,
    pair_weight_gradients,
)
from charrnn.network.arithmetic import FLOAT32, arithmetic_of
from charrnn.network.model import Model, State
from charrnn.network.network import Network
from charrnn.runtime.threads import Workers
from charrnn.training.loop import LAST_LENGTH
from charrnn.training.memory_estimate import memory_estimate
from charrnn.training.run_folder import RunFolder
from tests.reference.small import adam, plain_model, small_corpus, small_run, trained

CANARY = np.float32(-777.25)


def rounded(x: np.ndarray) -> np.ndarray:
    """The nearest float32 whose lower 16 bits are zero, by comparing distances; ties to the even
    one; below 2^-126 zero.
    """
    x = np.ascontiguousarray(x, np.float32)
    bits = x.view(np.uint32)
    down, up = (
        candidate.view(np.float32)
        for candidate in (bits & 0xFFFF0000, (bits & 0xFFFF0000) + 0x10000)
    )
    with np.errstate(all="ignore"):
        ends = [
            np.where(np.isinf(end), np.copysign(np.float64(2.0**128), x), end.astype(np.float64))
            for end in (down, up)
        ]
        below, above = (np.abs(x.astype(np.float64) - end) for end in ends)
        up_is_even = (up.view(np.uint32) >> 16) % 2 == 0
        nearest = np.where((above < below) | ((above == below) & up_is_even), up, down)
        nearest = np.where(np.isinf(x), x, nearest)
        nearest = np.where(np.abs(x) < 2.0**-126, np.copysign(np.float32(0), x), nearest)
        return np.where(np.isnan(x), np.float32(np.nan), nearest)


def plain(seed: int, *shape: int) -> np.ndarray:
    """Numbers of which float64 holds every sum of a few products exactly: none is small."""
    x = np.random.default_rng(seed).standard_normal(shape, np.float32)
    return np.where(np.abs(x) < 2.0**-9, np.float32(0), x)


def chain(start: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """start + a @ b as the instruction is defined: of each pair of k the second and then the first,
    each sum rounded to float32.
    """
    a, b = rounded(a).astype(np.float64), rounded(b).astype(np.float64)
    if a.shape[-1] % 2:
        a, b = np.concatenate([a, 0 * a[..., :1]], -1), np.concatenate([b, 0 * b[:1]])
    total = np.broadcast_to(start, (*a.shape[:-1], b.shape[-1])).astype(np.float32)
    for k in range(0, a.shape[-1], 2):
        for j in (k + 1, k):
            total = (total + a[..., j, None] * b[j]).astype(np.float32)
    return total


def words(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    return rounded(low).view(np.uint32) >> 16 | rounded(high).view(np.uint32) & 0xFFFF0000


def packed(matrix: np.ndarray) -> np.ndarray:
    """The panels of a (K, N) matrix straight from their definition."""
    panels, n, pairs = [], 0, words(matrix[::2], matrix[1::2])
    while n < pairs.shape[1]:
        width = NR if pairs.shape[1] - n >= NR else LANES
        panels.append(pairs[:, n : n + width].ravel())
        n += width
    return np.concatenate(panels)


# Rounding
# --------------------------------------------------------------------------------------------------


def hard_numbers() -> np.ndarray:
    """All halves between two neighbors and what lies beside them, at many exponents; the smallest
    and largest; any bits.
    """
    upper = np.arange(0, 0x10000, 7, np.uint32) << 16
    near = np.concatenate([upper | low for low in (0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF)])
    edges = np.array(
        [0, 1, 0x7FFFFF, 0x7F7F7FFF, 0x7F7F8000, 0x7F7FFFFF, 0x7F800000, 0x7F800001, 0x7FC00000],
        np.uint32,
    )
    drawn = np.random.default_rng(1).integers(2**32, size=20_000, dtype=np.uint32)
    bits = np.concatenate([near, edges, edges | 0x80000000, drawn])
    return bits[: len(bits) // 64 * 64].view(np.float32)


def test_rounding_to_nearest_even() -> None:
    x = hard_numbers()
    for matrix, pack in (
        (x.reshape(2, -1), pack_pairs),
        (x.reshape(-1, 2 * LANES), pack_pairs_transposed),
    ):
        columns = matrix.shape[1]
        if columns % LANES:
            matrix = np.ascontiguousarray(matrix[:, : columns // LANES * LANES])
            columns = matrix.shape[1]
        if pack is pack_pairs_transposed:
            matrix = matrix[: len(matrix) // LANES * LANES]
        panels = np.full(matrix.size // 2, CANARY)
        pack(
            matrix, panels, 0, columns, 0, len(matrix) if pack is pack_pairs_transposed else columns
        )
        wanted = packed(matrix if pack is pack_pairs else np.ascontiguousarray(matrix.T)).view(
            np.uint16
        )
        found = panels.view(np.uint16)
        is_nan = (wanted & 0x7FFF) > 0x7F80
        assert is_nan.any() and not is_nan.all()
        np.testing.assert_array_equal(found[~is_nan], wanted[~is_nan])
        assert ((found[is_nan] & 0x7FC0) == 0x7FC0).all(), "NaN stays NaN, a quiet one"


@pytest.mark.parametrize("first", [0, 16, 48])
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("K", [16, 48, 64, 80, 144])
def test_pack(K: int, transposed: bool, first: int) -> None:
    for N in range(LANES, 4 * NR, LANES):
        whole = plain(K + N, N, first + K + 16) if transposed else plain(K + N, K, first + N + 16)
        own = whole[:, first : first + (K if transposed else N)]
        panels = np.full(K * N // 2 + 64, CANARY)
        cuts = sorted({0, N // 2 // NR * NR, N})
        for start, stop in pairwise(cuts):
            (pack_pairs_transposed if transposed else pack_pairs)(
                whole, panels, first, K if transposed else N, start, stop
            )
        np.testing.assert_array_equal(
            panels[:-64].view(np.uint32), packed(np.ascontiguousarray(own.T if transposed else own))
        )
        assert (panels[-64:] == CANARY).all()


# Products, to the bit: with the instruction, this is a test of the processor against its manual
# ----------------------


@pytest.mark.parametrize("begins_with", ["zeros", "itself", "a row"])
def test_product_at_every_remainder(begins_with: str) -> None:
    for columns in range(LANES, 4 * NR + 1, LANES):
        for depth, most in ((16, 2 * MR + 2), (48, 2 * MR + 2), (512, MR + 2)):
            b, bias = plain(depth, depth, columns), plain(columns, columns)
            panels = packed(b).view(np.float32)
            for rows in range(1 + columns // LANES % 3, most, 3):
                steps = 1 + rows % 3
                a = np.full((steps, rows + 1, depth + 3), np.nan, np.float32)
                a[:, :rows, :depth] = plain(rows, steps, rows, depth)
                c = np.full((steps, rows + 1, columns + 7), CANARY)
                own = c[:, :rows, :columns]
                own[:] = plain(rows + 1, *own.shape) if begins_with == "itself" else np.nan
                place = c.ctypes.data
                strides = c.shape[2], c[0].size
                begin = {
                    "zeros": (0, 0, 0),
                    "itself": (place, *strides),
                    "a row": (bias.ctypes.data, 0, 0),
                }[begins_with]
                start = {"zeros": np.float32(0), "itself": own.copy(), "a row": bias}[begins_with]
                shape = steps, rows, depth, columns
                pair_product(
                    a.ctypes.data, a.shape[2], a[0].size, panels, *begin, place, *strides, *shape
                )
                wanted = chain(start, a[:, :rows, :depth], b)
                np.testing.assert_array_equal(
                    own.view(np.uint32), wanted.view(np.uint32), str(shape)
                )
                own[:] = CANARY
                assert (c == CANARY).all()


@pytest.mark.parametrize(
    ("steps", "rows", "depth"),
    [(1, 75, 2048), (9, 33, 512), (3, 2, 2 * BLOCK), (0, 5, 16), (2, 0, 16)],
)
def test_factors_that_are_rounded_in_parts(steps: int, rows: int, depth: int) -> None:
    """Each larger than what is rounded at a time; or nothing at all."""
    a, b, columns = plain(1, steps, rows, depth), plain(2, depth, 48), 48
    c = np.full((steps, rows, columns), CANARY)
    pair_product(
        a.ctypes.data,
        depth,
        rows * depth,
        packed(b).view(np.float32),
        0,
        0,
        0,
        c.ctypes.data,
        columns,
        rows * columns,
        steps,
        rows,
        depth,
        columns,
    )
    np.testing.assert_array_equal(c, chain(np.float32(0), a, b))


@pytest.mark.parametrize(("x_column", "h_column"), [(0, 0), (0, 32), (16, 0)])
@pytest.mark.parametrize("K", [1, 2, 31, 511, 512, 513, 1100])
@pytest.mark.parametrize(("D", "H"), [(0, 16), (48, 0), (16, 112), (112, 16)])
def test_weight_gradients(K: int, D: int, H: int, x_column: int, h_column: int) -> None:
    first = max(x_column, h_column)
    for Z in (16, 80, 208):
        x, h, dz = plain(K, K, D), plain(K + 1, K, H), plain(K + 2, K, first + Z)
        used = dz[:, first:].copy()
        dz[:, :first] = np.nan
        wanted = [chain(np.float32(0), factor.T, used) for factor in (x, h)]
        places = [first - x_column, first - h_column, first]
        memory = np.full(layers.scratch_size(D, H) + 64, CANARY)
        whole = [np.full((n, at + Z + 16), CANARY) for n, at in zip((D, H, 1), places, strict=True)]
        for start in range(0, Z, layers.COLUMNS):
            stop = min(start + layers.COLUMNS, Z)
            arrays = x, h, dz, *whole[:2], whole[2][0]
            pair_weight_gradients(
                address_of(pair_product_packed),
                *arrays,
                x_column,
                h_column,
                memory[:-64],
                first + start,
                first + stop,
            )
            for w, at in zip(whole, places, strict=True):
                assert (w[:, at + stop :] == CANARY).all() and (w[:, :at] == CANARY).all()
        assert (memory[-64:] == CANARY).all()
        for found, at, exact in zip(whole[:2], places, wanted, strict=False):
            np.testing.assert_array_equal(found[:, at : at + Z], exact)
        sums = np.zeros(Z, np.float32)
        for row in used:  # dz itself, not rounded
            sums += row
        np.testing.assert_array_equal(whole[2][0, first : first + Z], sums)


# The instruction
# --------------------------------------------------------------------------------------------------


def assembly(processor: str) -> str:
    """A tile of 14 x 2 sums of 16, and the rounding of two vectors, as LLVM translates them for a
    processor of that name.
    """
    module = ir.Module()
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [ir.IntType(64)] * 8), "tile")
    builder = ir.IRBuilder(function.append_basic_block())
    emit = emitter.Emitter(builder)
    step = partial(bfloat16.pair_multiply_add, True)
    simd.emit_tile(emit, (14, 2), 0, step, *function.args)
    low, high = (emit.load(function.args[k]) for k in (0, 3))
    emit.store(bfloat16.pairs(True, emit, low, high), function.args[6])
    builder.ret_void()
    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()
    target = binding.Target.from_triple("x86_64-unknown-linux-gnu").create_target_machine(
        cpu=processor, opt=3
    )
    return target.emit_assembly(binding.parse_assembly(str(module)))


@pytest.mark.parametrize("processor", ["cooperlake", "znver4"])
def test_the_instructions_come_out(processor: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (emitter, simd, bfloat16):
        monkeypatch.setattr(module, "VL", 16)
    for module in (emitter, simd):
        monkeypatch.setattr(module, "VECTOR", ir.VectorType(ir.FloatType(), 16))
    found = assembly(processor)
    assert found.count("vdpbf16ps") == 14 * 2 * (simd.UNROLL + 1)
    assert found.count("vcvtneps2bf16") == 2
    assert "vfmadd" not in found and "call" not in found
    assert not [line for line in found.splitlines() if "zmm" in line and "(%rsp)" in line], (
        "sums left the registers"
    )


@pytest.mark.skipif(not bfloat16.HAS_INSTRUCTION, reason="no AVX512-BF16")
def test_the_instruction_gives_the_bits_of_the_emulation() -> None:
    """With numbers of all sizes whose sums stay above 2^-126."""
    found = []
    for instruction in (True, False):
        tile = simd.tile_kernel(
            {(MR, simd.NV)}, 0, partial(bfloat16.pair_multiply_add, instruction)
        )

        @njit
        def multiply(a, b, c, pairs, tile=tile):
            tile(MR + 64 * simd.NV, a, pairs, b, 0, 0, c, NR, pairs)

        rng = np.random.default_rng(3)
        a, b = (
            rounded(np.exp(rng.uniform(-30, 30, shape)) * rng.choice([-1, 1], shape))
            for shape in ((MR, 64), (64, NR))
        )
        left, right = words(a[:, ::2], a[:, 1::2]), packed(b)
        c = np.full((MR, NR), CANARY)
        multiply(left.ctypes.data, right.ctypes.data, c.ctypes.data, 32)
        found.append(c)
    np.testing.assert_array_equal(found[0].view(np.uint32), found[1].view(np.uint32))


def test_a_machine_without_it_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("INSTRUCTION", "EMULATED"):
        monkeypatch.setattr(bfloat16, name, False)
    with pytest.raises(ConfigError, match="AVX512-BF16"):
        Network(Model(plain_model(hidden=8)), 2, 2, Workers(1), precision="bf16")
    (tmp_path / "text").write_text("a text of no importance " * 20)
    for command in ("train", "compare", "bench"):
        text = [str(tmp_path / "text"), "--out", str(tmp_path / command)]
        text = {"compare": [*text, "--cells", "lstm,gru"], "bench": []}.get(command, text)
        result = CliRunner().invoke(cli, [command, *text, "--precision", "bf16"])
        assert result.exit_code == 2 and not (tmp_path / command).exists()
        message = result.stderr.strip()
        assert (
            message.startswith("error: --precision bf16 needs a processor with AVX512-BF16")
            and "\n" not in message
        )


def test_an_unknown_precision_is_refused() -> None:
    assert arithmetic_of("float32") is FLOAT32
    for refuse in (arithmetic_of, lambda name: TrainConfig(precision=name)):
        with pytest.raises(ConfigError, match=r"precision`? must be"):
            refuse("bf8")


def test_a_forced_emulation_has_a_cache_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    folders = set()
    for emulated in (False, True, False):
        monkeypatch.setattr(target, "EMULATED", emulated)
        folders.add(target.kernel_files(target.TARGET).folder)
    assert len(folders) == 2


# Networks
# --------------------------------------------------------------------------------------------------


def gradients(model: Model, precision: str, threads: int = 1) -> tuple[float, np.ndarray, State]:
    T, N = 20, 7
    x, y = (
        np.random.default_rng(0).integers(model.config.vocab_size, size=(2, T, N)).astype(np.int32)
    )
    network, state = (
        Network(
            model, T, N, Workers(threads, processors=threads), training=True, precision=precision
        ),
        State(model, N),
    )
    loss, gradient = network.gradients(x, y, state, 5)
    return loss, gradient.flat.copy(), state


@pytest.mark.parametrize(
    "settings",
    [
        *(
            {},
            {"cell": "gru", "embedding": 24},
            {"cell": "grid"},
            {"recurrent_dropout": 0.3, "residual": True},
        ),
        *({"cell": "gru", "skip": True, "layers": 3}, {"embedding": 50}),
    ],
)
def test_gradients_are_those_of_float32_but_for_rounding(settings: dict) -> None:
    model = Model.initialized(
        plain_model(**{"vocab_size": 65, "hidden": 50, "layers": 2, "dropout": 0.2} | settings), 1
    )
    loss, exact, state = gradients(model, "float32")
    near_loss, near, near_state = gradients(model, "bf16")
    difference = np.linalg.norm(near - exact) / np.linalg.norm(exact)
    assert 1e-4 < difference < 1e-2, "the size of what rounding to 8 bits does, no more and no less"
    assert near @ exact > 0.9999 * np.linalg.norm(near) * np.linalg.norm(exact)
    assert near_loss == pytest.approx(loss, rel=1e-4)
    np.testing.assert_allclose(near_state.h, state.h, atol=5e-3)


@pytest.mark.parametrize("settings", [{}, {"cell": "gru", "embedding": 24}])
def test_threads_do_not_change_a_bit(settings: dict) -> None:
    model = Model.initialized(plain_model(vocab_size=65, hidden=70, layers=2, **settings), 1)
    loss, one, state = gradients(model, "bf16")
    for threads in (2, 3):
        other, found, found_state = gradients(model, "bf16", threads)
        assert other == loss
        np.testing.assert_array_equal(found.view(np.uint32), one.view(np.uint32))
        np.testing.assert_array_equal(found_state.h, state.h)


def test_going_on_gives_the_same_bytes(tmp_path: Path) -> None:
    corpus = small_corpus()
    at_once, in_two, other = (RunFolder(tmp_path / name) for name in "abc")
    for folder in (at_once, in_two, other):
        folder.path.mkdir()
    trained(small_run(corpus, precision="bf16"), corpus, at_once, threads=2)
    trained(small_run(corpus, precision="bf16"), corpus, in_two, steps=5)
    run = in_two.resume()
    assert run.config.precision == "bf16" and run.step == 5
    trained(run, corpus, in_two)
    assert at_once.last.read_bytes() == in_two.last.read_bytes()
    trained(small_run(corpus), corpus, other)
    assert at_once.last.read_bytes() != other.last.read_bytes(), "float32 is not bf16"


def test_a_run_may_go_on_in_another_precision(tmp_path: Path) -> None:
    corpus = small_corpus()
    run = small_run(corpus, precision="bf16", steps=6)
    trained(run, corpus, steps=3)
    run.change(precision="float32")
    assert trained(run, corpus)[-1].step == 6


def test_samples_and_evaluation_are_float32() -> None:
    """Those of a model that was trained in bf16, with averaged weights; without, validation is as
    training is, and close to it.
    """
    corpus = small_corpus()
    run = small_run(corpus, precision="bf16", sample_every=4, eval_every=4, steps=4)
    last = trained(run, corpus)[-1]
    config = SamplingConfig(length=LAST_LENGTH, seed=4)
    assert last.sample == "".join(generate(run.trained, "", config))
    assert last.validation_loss == evaluate(run.result, corpus.validation).nats_per_char
    run = small_run(corpus, precision="bf16", eval_every=4, steps=4, average=0.0)
    last, loss = trained(run, corpus)[-1], evaluate(run.result, corpus.validation).nats_per_char
    assert last.validation_loss == pytest.approx(loss, rel=1e-3) and last.validation_loss != loss


def test_memory_counts_packed_weights_of_half_the_size() -> None:
    model, train = plain_model(hidden=512, vocab_size=65), adam(batch_size=32)
    halved = memory_estimate(model, train) - memory_estimate(
        model, adam(batch_size=32, precision="bf16")
    )
    networks = [
        Network(Model(model), 2, 2, Workers(1), True, precision=name).panels
        for name in ("float32", "bf16")
    ]
    sizes = [
        sum(
            piece.memory.nbytes
            for layer in (*panels.layers, *panels.layers_back)
            for piece in (layer.over, layer.second, layer.up, layer.out)
        )
        for panels in networks
    ]
    assert halved == sizes[0] - sizes[1] == sizes[1]
