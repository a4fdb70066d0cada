"""The loss of a checkpoint on a text as torch.nn.LSTM computes it from the checkpoint's tensors,
beside `charrnn eval`'s.

PyTorch reads the whole text in one stream with carried state, and again in cold windows of 256.
Exit status 1 if either differs from ours by more than 1e-4 nats.
"""

from __future__ import annotations

import argparse
import json
import sys

import torch
from safetensors import safe_open

import charrnn


def torch_model(path: str) -> tuple[torch.nn.Module | None, torch.nn.LSTM, torch.nn.Linear, dict]:
    with safe_open(path, framework="pt") as file:
        meta = json.loads(file.metadata()["charrnn"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    model = meta["model"]
    V, E, H = model["vocab_size"], model["embedding"], model["hidden"]
    embedding = torch.nn.Embedding.from_pretrained(tensors["embedding.weight"]) if E else None
    lstm = torch.nn.LSTM(E or V, H, model["layers"])
    lstm.load_state_dict(
        {name[4:]: tensor for name, tensor in tensors.items() if name.startswith("rnn.")}
    )
    decoder = torch.nn.Linear(H, V)
    decoder.load_state_dict(
        {name[8:]: tensor for name, tensor in tensors.items() if name.startswith("decoder.")}
    )
    return embedding, lstm, decoder, meta


def torch_loss(parts: tuple, ids: torch.Tensor, window: int | None = None) -> float:
    embedding, lstm, decoder, meta = parts
    total, state, step = 0.0, None, window or 1024
    for a in range(0, len(ids) - 1, step):
        x, y = ids[a : a + step][: len(ids) - 1 - a], ids[a + 1 : a + 1 + step]
        inputs = (
            embedding(x)
            if embedding
            else torch.nn.functional.one_hot(x, meta["model"]["vocab_size"]).float()
        )
        outputs, state = lstm(inputs[:, None], None if window else state)
        total += torch.nn.functional.cross_entropy(
            decoder(outputs[:, 0]), y, reduction="sum"
        ).item()
    return total / (len(ids) - 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint")
    parser.add_argument("text")
    parser.add_argument(
        "--last", type=float, default=0.1, help="share of the text, at its end, that is used"
    )
    options = parser.parse_args()
    run = charrnn.load_run(options.checkpoint)
    corpus = charrnn.Corpus.read(
        options.text, charrnn.CorpusConfig(val_fraction=options.last), vocab=run.vocab
    )
    ids = corpus.validation if options.last else corpus.ids
    with torch.no_grad():
        parts, long = torch_model(options.checkpoint), torch.from_numpy(ids.astype("int64"))
        theirs = torch_loss(parts, long), torch_loss(parts, long, 256)
    ours = (
        charrnn.evaluate(run.result, ids).nats_per_char,
        charrnn.evaluate_windows(run.result, ids, 256).nats_per_char,
    )
    for name, a, b in zip(("carried state", "windows of 256"), ours, theirs, strict=True):
        print(f"{name}: charrnn {a:.6f}, PyTorch {b:.6f}, difference {abs(a - b):.1e}")
    sys.exit(any(abs(a - b) > 1e-4 for a, b in zip(ours, theirs, strict=True)))


if __name__ == "__main__":
    main()
