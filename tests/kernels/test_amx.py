"""Products by AMX give the bits that Intel's description of the instruction gives."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner

from charrnn.cli.main import cli
from charrnn.compiler import amx
from charrnn.errors import ConfigError
from charrnn.kernels.layers import scratch_size
from charrnn.network.arithmetic import Arithmetic, arithmetic_of, from_bf16, to_bf16
from charrnn.network.parameters import NOTHING, aligned

needs_amx = pytest.mark.skipif(not amx.is_there(), reason="needs AMX-BF16")


def drawn(seed: int, *shape: int) -> np.ndarray:
    values = aligned(*shape)
    values[...] = np.random.default_rng(seed).normal(size=shape)
    return values


def described(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """C + A B by tdpbf16ps: the even and the odd products of 32 at a time, each sum in float32."""
    a, b, c = from_bf16(to_bf16(a)), from_bf16(to_bf16(b)), c.copy()
    for first in range(0, a.shape[1], 32):
        sums = [np.zeros_like(c), np.zeros_like(c)]
        for k in range(first, min(first + 32, a.shape[1])):
            sums[k % 2] += a[:, k, None] * b[k]
        c += sums[0] + sums[1]
    return c


@pytest.fixture(scope="module")
def tiles() -> Arithmetic:
    return arithmetic_of("amx")


@needs_amx
@pytest.mark.parametrize(
    ("rows", "depth", "columns"),
    [(1, 16, 16), (16, 64, 64), (17, 48, 80), (32, 96, 112), (40, 80, 48), (70, 512, 32)],
)
def test_products(tiles: Arithmetic, rows: int, depth: int, columns: int) -> None:
    a, b, c = drawn(0, rows, depth), drawn(1, depth, columns), aligned(rows, columns)
    panels, transposed = aligned(depth * columns // 2), aligned(depth * columns // 2)
    tiles.pack(b, panels, 0, columns, 0, columns)
    tiles.multiply(a, panels, c)
    np.testing.assert_array_equal(c, described(a, b, np.zeros_like(c)))
    tiles.pack_transposed(np.ascontiguousarray(b.T), transposed, 0, depth, 0, columns)
    np.testing.assert_array_equal(transposed.view(np.uint32), panels.view(np.uint32))


@needs_amx
@pytest.mark.parametrize("rows", [5, 16, 37])
@pytest.mark.parametrize("shares_start", [True, False])
def test_steps_rows_apart_and_initial_sums(
    tiles: Arithmetic, rows: int, shares_start: bool
) -> None:
    """As a layer reads its input: all rows begin with the bias, or with what is there."""
    steps, depth, columns, streams = 5, 80, 48, rows + 3
    a, b = drawn(0, steps, streams, depth), drawn(1, depth, columns)
    bias, c = drawn(2, columns), drawn(3, steps, streams, columns + 16)
    panels, before = aligned(depth * columns // 2), c.copy()
    tiles.pack(b, panels, 0, columns, 0, columns)
    width = columns + 16
    start = (bias.ctypes.data, 0, 0) if shares_start else (c.ctypes.data, width, streams * width)
    tiles.product(
        a.ctypes.data, depth, streams * depth, panels, *start,
        c.ctypes.data, width, streams * width, steps, rows, depth, columns,
    )  # fmt: skip
    for t in range(steps):
        first = np.tile(bias, (rows, 1)) if shares_start else before[t, :rows, :columns]
        expected = described(a[t, :rows], b, first)
        np.testing.assert_array_equal(c[t, :rows, :columns], expected)
    c[:, :rows, :columns] = before[:, :rows, :columns]
    np.testing.assert_array_equal(c, before, "nothing else is written")


@needs_amx
@pytest.mark.parametrize(("count", "width", "columns"), [(1, 16, 16), (70, 48, 80), (2100, 32, 64)])
def test_weight_gradients(tiles: Arithmetic, count: int, width: int, columns: int) -> None:
    """In any ranges of columns; the last word of an odd number of rows is half zeros."""
    x, h, dz = drawn(0, count, width), drawn(1, count, 16), drawn(2, count, columns)
    dw_x, dw_h, db = drawn(3, width, columns), drawn(4, 16, columns), drawn(5, columns)
    scratch = drawn(6, scratch_size(width, 16))
    for start in range(0, columns, 48):
        tiles.weight_gradients(
            0, x, h, dz, dw_x, dw_h, db, 0, 0, scratch, start, min(start + 48, columns)
        )
    for rows, found in ((x, dw_x), (h, dw_h)):
        zeros = np.zeros_like(found)
        expected = described(np.ascontiguousarray(rows.T), dz, zeros)
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_allclose(db, dz.sum(axis=0), rtol=1e-3, atol=1e-3)
    tiles.weight_gradients(0, NOTHING, h, dz, NOTHING, dw_h, db, 0, 0, scratch, 0, columns)
    np.testing.assert_array_equal(
        dw_h, described(np.ascontiguousarray(h.T), dz, np.zeros_like(dw_h))
    )


@needs_amx
def test_numbers_that_are_not_finite(tiles: Arithmetic) -> None:
    """A network that has diverged must be seen to."""
    a, b, c = drawn(0, 16, 32), drawn(1, 32, 16), aligned(16, 16)
    a[3, 5], a[4, 6] = np.nan, np.inf
    panels = aligned(256)
    tiles.pack(b, panels, 0, 16, 0, 16)
    tiles.multiply(a, panels, c)
    assert np.isnan(c[3]).all() and not np.isfinite(c[4]).any() and np.isfinite(c[5]).all()


def test_without_it_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setattr(amx, "is_there", lambda: False)
    with pytest.raises(ConfigError, match="needs a processor with AMX-BF16"):
        arithmetic_of("amx")
    (tmp_path / "text").write_text("abcab " * 300)
    command = ["train", str(tmp_path / "text"), "--precision", "amx", "--out", str(tmp_path / "r")]
    result = CliRunner().invoke(cli, command)
    assert result.exit_code == 2 and not (tmp_path / "r").exists()
    assert result.stderr.startswith("error: --precision amx needs a processor with AMX-BF16")
    assert "lacks; use --precision float32" in result.stderr


@needs_amx
def test_the_system_is_asked_before_the_first_product() -> None:
    """Without its permission the first instruction would end the process."""
    program = (
        "import numpy as np, charrnn\n"
        "from charrnn.network.network import Network\n"
        "from charrnn.runtime.threads import Workers\n"
        "model = charrnn.Model.initialized(charrnn.ModelConfig(8, hidden=16), 0)\n"
        "network = Network(model, 4, 2, Workers(2), training=True, precision='amx')\n"
        "x = np.zeros((4, 2), np.int32)\n"
        "from charrnn.network.model import State\n"
        "print(network.gradients(x, x, State(model, 2), None)[0] > 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "True\n", done.stderr
