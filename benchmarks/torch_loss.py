"""The loss of a checkpoint on a text as PyTorch computes it, beside `charrnn eval`'s.

The logits are those of the program on docs/checkpoints.md, which reads every kind of network. The
text is read in one stream with carried state, and again in cold windows of 256. Exit status 1 if
either differs from ours by more than 1e-4 nats.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import cross_entropy

import charrnn

PAGE = Path(__file__).resolve().parents[1] / "docs" / "checkpoints.md"


def program() -> Callable[[str, torch.Tensor], torch.Tensor]:
    names: dict[str, Any] = {}
    exec(PAGE.read_text(encoding="utf-8").split("```python\n")[1].split("```")[0], names)
    return names["logits"]


def torch_loss(path: str, ids: torch.Tensor, window: int) -> float:
    logits, total = program(), 0.0
    for a in range(0, len(ids) - 1, window):
        block = ids[a : a + window + 1]
        total += cross_entropy(logits(path, block[:-1]), block[1:], reduction="sum").item()
    return total / (len(ids) - 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint")
    parser.add_argument("text")
    parser.add_argument(
        "--last", type=float, default=0.1, help="share of the text, at its end, that is used"
    )
    options = parser.parse_args()
    trained = charrnn.load(options.checkpoint)
    config = charrnn.CorpusConfig(val_fraction=options.last)
    corpus = charrnn.Corpus.read(options.text, config, vocab=trained.vocab)
    ids = corpus.validation if options.last else corpus.ids
    long, differs = torch.from_numpy(ids.astype("int64")), False
    ours = charrnn.evaluate(trained.model, ids), charrnn.evaluate_windows(trained.model, ids, 256)
    for name, loss, window in zip(
        ("carried state", "windows of 256"), ours, (len(ids), 256), strict=True
    ):
        with torch.no_grad():
            theirs = torch_loss(options.checkpoint, long, window)
        difference = abs(loss.nats_per_char - theirs)
        differs |= difference > 1e-4
        print(f"{name}: charrnn {loss.nats_per_char:.6f}, PyTorch {theirs:.6f}, {difference:.1e}")
    sys.exit(differs)


if __name__ == "__main__":
    main()
