"""A network in PyTorch: a folder with model.py, weights, the vocabulary, and a model card."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from safetensors.numpy import save as to_bytes

from charrnn.checkpoint.mixture import Mixture
from charrnn.checkpoint.trained import Trained
from charrnn.export.card import Card, card_text
from charrnn.export.networks import networks_of
from charrnn.export.place import check_folder, write_folder
from charrnn.export.torch_source import example_prime, source_of
from charrnn.export.torch_weights import tensors_for_torch
from charrnn.text.vocab import NOUNS


def export_pytorch(
    trained: Trained | Sequence[Trained],
    folder: str | os.PathLike[str],
    *,
    card: Card | None = None,
    force: bool = False,
) -> list[Path]:
    """Write a network, or several that are used together (`Mixture`), for PyTorch into a folder;
    returns the paths of the files.

    model.py has only what this network needs, and writes and evaluates with it; it averages the
        probabilities of several. model.safetensors has the weights and start states;
        vocabulary.json is a list, in which the index of a symbol is its id; README.md is a model
        card.
    card: what the model card tells besides what the network knows.
    force: replace files of these names in a folder that is not empty.

    `ExportError` if the files cannot be written, for networks that are not of one run, and for a
    document separator for which Python's `re` cannot search as charrnn does (`python_pattern`).
    """
    networks = networks_of(trained)
    place = check_folder(folder, force)
    title = place.resolve().name or "network"
    about = card_text(
        networks, card or Card(), title=title, library="pytorch", usage=_usage(networks)
    )
    files = {
        "model.py": source_of(networks).encode(),
        "model.safetensors": to_bytes(tensors_for_torch(networks), {"format": "pt"}),
        "vocabulary.json": f"{json.dumps(networks.vocab.symbols)}\n".encode(),
        "README.md": about.encode(),
    }
    return write_folder(place, files)


def _usage(networks: Mixture) -> str:
    """How to run it, Markdown."""
    prime, unit = example_prime(networks.vocab), NOUNS[networks.vocab.unit]
    this, its = ("this network", "its") if len(networks) == 1 else ("these networks", "their")
    lines = [
        "pip install torch safetensors",
        f"python model.py{f' --prime {prime!r}' if prime else ''} --temperature 0.8 --seed 1",
        "python model.py --eval text.txt",
    ]
    return (
        "".join(f"    {line}\n" for line in lines)
        + f"\nThe last line prints the loss on a text, in nats and bits per {unit}. `model.py` is\n"
        f"plain `torch.nn`, made for {this} alone. `model.safetensors` holds {its} weights and\n"
        f"the states that a text may start from. `vocabulary.json` is a list: the index of a\n"
        f"{unit} is its id.\n"
    )
