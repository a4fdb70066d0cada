"""charrnn: train a character-level recurrent network on your own text, on the laptop that you have,
and let it write.

    import charrnn

    corpus = charrnn.Corpus.read("book.txt")
    run = charrnn.Run.new(corpus, charrnn.ModelConfig(hidden=256), charrnn.TrainConfig(epochs=5))
    for report in charrnn.train(run, corpus):
        print(report.step, report.smoothed_loss)
    charrnn.save("book.safetensors", run)
    print("".join(charrnn.generate(run.result, run.vocab, "Once", length=200)))

Names are imported when they are first used: the compiled parts take a second to load.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from charrnn.candidates import Candidate, combinations, of_equal_size
    from charrnn.checkpoint import load, save
    from charrnn.comparison import Event, Outcome, Result, compare, results
    from charrnn.compression import evaluate_xz
    from charrnn.config import CorpusConfig, DynamicConfig, ModelConfig, TrainConfig
    from charrnn.corpus import Corpus
    from charrnn.datasets import bundled_corpus, fetch
    from charrnn.dynamic import evaluate_dynamic, per_character_dynamic, squares_of
    from charrnn.ensemble import Ensemble, check_alike
    from charrnn.errors import (
        CharrnnError,
        CheckpointError,
        ConfigError,
        CorpusError,
        DataError,
        RunError,
        VocabError,
    )
    from charrnn.evaluation import Evaluation, evaluate, evaluate_windows, mixed, per_character
    from charrnn.generation import generate, generate_ids, generate_many
    from charrnn.gradient_flow import gradient_norms
    from charrnn.model import Model
    from charrnn.pacing import on_time
    from charrnn.planning import Plan, plan
    from charrnn.run import Run
    from charrnn.run_folder import RunFolder, find_checkpoint, newest_run
    from charrnn.settings import configs_of, preset, presets
    from charrnn.training import DivergenceError, Report, train
    from charrnn.vocab import Vocab
    from charrnn.writer import Writer

__version__ = "0.1.0"

_HOMES = {
    "candidates": ("Candidate", "combinations", "of_equal_size"),
    "checkpoint": ("load", "save"),
    "comparison": ("Event", "Outcome", "Result", "compare", "results"),
    "compression": ("evaluate_xz",),
    "config": ("CorpusConfig", "DynamicConfig", "ModelConfig", "TrainConfig"),
    "corpus": ("Corpus",),
    "datasets": ("bundled_corpus", "fetch"),
    "dynamic": ("evaluate_dynamic", "per_character_dynamic", "squares_of"),
    "ensemble": ("Ensemble", "check_alike"),
    "errors": (
        "CharrnnError",
        "CheckpointError",
        "ConfigError",
        "CorpusError",
        "DataError",
        "RunError",
        "VocabError",
    ),
    "evaluation": ("Evaluation", "evaluate", "evaluate_windows", "mixed", "per_character"),
    "generation": ("generate", "generate_ids", "generate_many"),
    "gradient_flow": ("gradient_norms",),
    "model": ("Model",),
    "pacing": ("on_time",),
    "planning": ("Plan", "plan"),
    "run": ("Run",),
    "run_folder": ("RunFolder", "find_checkpoint", "newest_run"),
    "settings": ("configs_of", "preset", "presets"),
    "training": ("DivergenceError", "Report", "train"),
    "vocab": ("Vocab",),
    "writer": ("Writer",),
}

__all__ = [  # noqa: RUF022
    "Corpus", "CorpusConfig", "Vocab", "bundled_corpus", "fetch", "Model", "ModelConfig",
    "TrainConfig", "Run", "RunFolder", "find_checkpoint", "newest_run", "preset",
    "presets", "configs_of", "compare", "results", "Candidate", "Event", "Outcome", "Result",
    "combinations", "of_equal_size", "plan", "Plan", "on_time", "train", "Report", "generate",
    "generate_many", "generate_ids", "Writer", "evaluate", "evaluate_windows", "per_character",
    "Evaluation", "mixed", "gradient_norms", "save", "load", "evaluate_dynamic",
    "per_character_dynamic", "squares_of", "DynamicConfig", "evaluate_xz", "Ensemble",
    "check_alike", "CharrnnError", "CheckpointError", "ConfigError", "CorpusError", "DataError",
    "DivergenceError", "RunError", "VocabError",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"charrnn.{module}"), name)
    raise AttributeError(f"module 'charrnn' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
