"""The same training on every width of vectors: with fused multiply-adds to the bit, without them to
rounding.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from charrnn.compiler.target import AVX2, AVX512, NONE, TARGET, choose_target
from charrnn.errors import ConfigError

PROGRAM = """
import hashlib, json, sys
import numpy as np
import charrnn
from charrnn.compiler.target import TARGET

corpus = charrnn.Corpus.read(sys.argv[1])
found = {"target": TARGET.name}
for cell in ("lstm", "gru"):
    model = charrnn.ModelConfig(hidden=40, cell=cell, dropout=0.2, embedding=5)
    training = charrnn.TrainConfig(6, 11, steps=3, optimizer="adamw")
    run = charrnn.Run.new(corpus, model, training)
    losses = [report.loss for report in charrnn.train(run, corpus, threads=1)]
    text = "".join(charrnn.generate(run.trained, "a", charrnn.SamplingConfig(length=30)))
    weights = run.model.parameters.flat
    digest = hashlib.sha256(weights.tobytes()).hexdigest()
    found[cell] = [losses, digest, weights[::97].tolist(), text]
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "text.txt"
    rng = np.random.default_rng(1)
    path.write_text("".join(rng.choice(list("abcdefgh \n"), 3000)), encoding="utf-8")
    return path


def trained(text: Path, simd: str) -> dict[str, Any]:
    environment = {**os.environ, "CHARRNN_SIMD": simd}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(text)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("simd", ["avx2", "x86-64-v3"])
def test_the_same_bits_on_narrower_vectors(text: Path, simd: str) -> None:
    if TARGET not in (AVX512, AVX2):
        pytest.skip("this machine has no AVX2")
    wide, narrow = trained(text, ""), trained(text, simd)
    assert narrow.pop("target") == "avx2"
    wide.pop("target")
    assert narrow == wide


ASSEMBLY = """
from charrnn.kernels.vector_product import vector_product
print("".join(vector_product.inspect_asm().values()))
"""


def test_code_for_any_processor_has_no_instruction_of_this_one(tmp_path: Path) -> None:
    if TARGET not in (AVX512, AVX2):
        pytest.skip("this machine has no AVX2")
    environment = {**os.environ, "CHARRNN_SIMD": "x86-64-v3", "CHARRNN_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", ASSEMBLY]
    assembly = subprocess.check_output(command, env=environment, text=True)
    assert "ymm" in assembly and "vfmadd" in assembly
    assert "zmm" not in assembly and "%k1" not in assembly


def test_the_same_to_rounding_without_vectors(text: Path) -> None:
    best, plain = trained(text, ""), trained(text, "none")
    assert plain["target"] == "none"
    for cell in ("lstm", "gru"):
        np.testing.assert_allclose(plain[cell][0], best[cell][0], rtol=1e-5)
        np.testing.assert_allclose(plain[cell][2], best[cell][2], rtol=1e-3, atol=1e-4)


def test_an_unknown_target_is_told() -> None:
    with pytest.raises(ConfigError, match="avx512, avx2, x86-64-v3, none, not 'mmx'"):
        choose_target("mmx")
    assert NONE.lanes == 1
