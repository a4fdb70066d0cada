"""A checkpoint that version 0.1.0 wrote, format version 1, stays readable: its losses, its text and
its next steps are known.

`data/format-1.safetensors` is a run of 1,010 steps (LSTM, 4 units, embedding 3, dropout 0.2)
stopped after 1,000, on the sentence below. What is expected here was printed by the program that
wrote it.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from charrnn.config.settings import CorpusConfig
from charrnn.evaluation.evaluate import per_character
from charrnn.generation.generate import generate
from charrnn.text.corpus import Corpus
from charrnn.training.checkpoint import load, save
from charrnn.training.loop import train

FILE = Path(__file__).parent / "data" / "format-1.safetensors"
TEXT = "an ant ate a tin can and a nut, then ten men and a hen ate ham.\n" * 20

READ = "a hen and ten men ate"
LOSSES = [
    *(
        6.7205062,
        2.202107,
        0.638178,
        0.0159763,
        0.0059462,
        0.9429013,
        0.9999383,
        1.2733774,
        0.0032052,
        2.1015122,
    ),
    *(
        0.4018156,
        1.8672497,
        0.0059024,
        1.6032593,
        0.7132964,
        0.1095064,
        0.0346369,
        0.4734609,
        1.4839584,
        0.2784238,
    ),
]
WRITTEN = " ten te ad a an ten te a an te"
NEXT_STEPS = [
    *(0.78143868, 0.85631038, 0.84391832, 0.9125305, 1.02827349),
    *(0.72684089, 0.81041803, 0.75434227, 0.62995794, 0.85496681),
]


def test_the_file_is_of_the_first_format() -> None:
    with safe_open(FILE, framework="numpy") as file:
        assert json.loads(file.metadata()["charrnn"])["format_version"] == 1


def test_it_predicts_and_writes_what_it_did() -> None:
    run = load(FILE)
    assert (run.step, run.model.config.cell, run.model.config.hidden, len(run.history)) == (
        1000,
        "lstm",
        4,
        4,
    )
    np.testing.assert_allclose(
        per_character(run.result, run.vocab.encode(READ)), LOSSES, rtol=1e-4, atol=1e-5
    )
    assert "".join(generate(run.result, run.vocab, "an", 30, temperature=0)) == WRITTEN


def test_it_goes_on_as_it_would_have(tmp_path: Path) -> None:
    """Dropout masks, slots, carried state and the place in the text are all in these ten losses;
    and saved anew, too.
    """
    corpus = Corpus.from_text(TEXT, CorpusConfig())
    for path in (FILE, tmp_path / "again.safetensors"):
        run = load(path)
        if path == FILE:
            save(tmp_path / "again.safetensors", run)
        losses = [report.loss for report in train(run, corpus, threads=2)]
        assert losses == pytest.approx(NEXT_STEPS, rel=1e-4)
        assert run.is_finished and run.step == 1010
