"""The options of a network, and of how its text is read, that an export has to carry."""

from __future__ import annotations

from typing import Any

from charrnn.config import CorpusConfig

OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "one layer, one-hot": {"layers": 1, "embedding": 0},
    "normalized": {"layer_norm": True},
    "residual and skip": {"layers": 3, "residual": True, "skip": True, "layer_norm": True},
    "skip": {"skip": True, "embedding": 0},
    "zoneout": {"zoneout_h": 0.1, "zoneout_c": 0.3},
    "zoneout of h": {"zoneout_h": 0.25, "layer_norm": True},
    "zoneout of c": {"zoneout_c": 0.25, "residual": True},
    "relu": {"activation": "relu", "hidden": 4},
    "softsign": {"activation": "softsign", "layer_norm": True},
    "attention": {"attention": 48, "layer_norm": True},
}

CORPORA = {
    "documents": CorpusConfig(document_separator="\n\n+"),
    "ahead": CorpusConfig(document_separator="\n(?=['\"é])", newlines="keep", normalize="NFC"),
    "bytes": CorpusConfig(unit="byte", document_separator="\n"),
    "decoded": CorpusConfig(encoding="latin-1", encoding_errors="replace"),
}
