"""A network in PyTorch: a folder with model.py, weights, the vocabulary, and a model card."""

from __future__ import annotations

import json
import os
from pathlib import Path

from safetensors.numpy import save as to_bytes

from charrnn.checkpoint.trained import Trained
from charrnn.export.place import check_folder, write_folder
from charrnn.export.torch_source import source_of
from charrnn.export.torch_weights import tensors_for_torch


def export_pytorch(
    trained: Trained, folder: str | os.PathLike[str], *, force: bool = False
) -> list[Path]:
    """Write model.py, model.safetensors and vocabulary.json into a folder; returns their paths."""
    place = check_folder(folder, force)
    vocabulary = json.dumps(trained.vocab.symbols, ensure_ascii=True)
    files = {
        "model.py": source_of(trained).encode(),
        "model.safetensors": to_bytes(tensors_for_torch(trained), {"format": "pt"}),
        "vocabulary.json": f"{vocabulary}\n".encode(),
    }
    return write_folder(place, files)
