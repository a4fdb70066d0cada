"""charrnn: train a character-level recurrent neural network on your own text, on an ordinary
laptop, and generate text with it.

    import charrnn

    corpus = charrnn.Corpus.read("book.txt")
    run = charrnn.Run.new(corpus, charrnn.ModelConfig(hidden=256), charrnn.TrainConfig(epochs=5))
    for report in charrnn.train(run, corpus):
        print(report.step, report.smoothed_loss)
    charrnn.save("book.safetensors", run.trained)
    print("".join(charrnn.generate(run.trained, "Once")))

Names are imported when first used, since the compiled parts take a second to load.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from charrnn.checkpoint.mixture import Mixture, load_mixture
    from charrnn.checkpoint.paths import bundled_network, find_checkpoint
    from charrnn.checkpoint.trained import Origin, Text, Trained, load, save
    from charrnn.config.files import configs_of, preset, presets
    from charrnn.config.sampling import SamplingConfig, ShortConfig
    from charrnn.config.serving import ServeConfig
    from charrnn.config.settings import CorpusConfig, DynamicConfig, MemoryConfig, ModelConfig
    from charrnn.config.training import TrainConfig
    from charrnn.errors import (
        CharrnnError,
        CheckpointError,
        ConfigError,
        CorpusError,
        DataError,
        DivergenceError,
        ExportError,
        PeerError,
        RunError,
        SamplingError,
        VocabError,
    )
    from charrnn.evaluation.authorship import Authorship, authorship
    from charrnn.evaluation.calibration import Calibration, calibration
    from charrnn.evaluation.compression import evaluate_ppmd, evaluate_xz
    from charrnn.evaluation.dynamic import adapt, evaluate_dynamic
    from charrnn.evaluation.evaluate import (
        Evaluation,
        evaluate,
        evaluate_windows,
        mixed,
    )
    from charrnn.evaluation.memory import evaluate_with_memory
    from charrnn.evaluation.passages import SurprisingPassage, surprising_passages
    from charrnn.evaluation.score import Score, score
    from charrnn.evaluation.texts import evaluate_texts
    from charrnn.export.card import Card
    from charrnn.export.html import export_html
    from charrnn.export.onnx import export_onnx
    from charrnn.export.pytorch import export_pytorch
    from charrnn.generation.cowriter import Cowriter
    from charrnn.generation.ensemble import Ensemble
    from charrnn.generation.generate import (
        Written,
        generate,
        generate_ids,
        generate_many,
        generate_texts,
    )
    from charrnn.generation.lexicon import Lexicon
    from charrnn.generation.manuscript import Manuscript
    from charrnn.generation.manuscript_file import ManuscriptFile
    from charrnn.generation.outlook import Outlook
    from charrnn.generation.short import ShortTexts, folded
    from charrnn.generation.writer import Writer
    from charrnn.inspection.activity import activity
    from charrnn.inspection.attribution import Attribution, attribution
    from charrnn.inspection.character_map import CharacterMap, character_map
    from charrnn.inspection.features import Feature, text_features
    from charrnn.inspection.gradient_flow import gradient_norms
    from charrnn.inspection.likelihood import best_of, with_logprobs
    from charrnn.inspection.saturation import Saturation, saturation
    from charrnn.inspection.trace import Trace, trace
    from charrnn.inspection.units import Detector, UnitSearch, find_units, untrained
    from charrnn.network.model import Model
    from charrnn.reporting.advice import Advice, advice
    from charrnn.reporting.story import Story, report
    from charrnn.reporting.surprise import surprise_page
    from charrnn.reporting.units_page import units_page
    from charrnn.runtime.threads import Workers
    from charrnn.text.copies import Copies
    from charrnn.text.corpus import Corpus
    from charrnn.text.datasets import bundled_corpus, fetch
    from charrnn.text.endings import ends
    from charrnn.text.findings import Finding
    from charrnn.text.overlap import SharedPassage, overlap
    from charrnn.text.vocab import Vocab
    from charrnn.training.check import TextCheck, check
    from charrnn.training.distributed import on_ranks
    from charrnn.training.loop import train
    from charrnn.training.report import Report
    from charrnn.training.run import Run
    from charrnn.training.run_file import load_run, save_run
    from charrnn.training.run_folder import RunFolder, newest_run
    from charrnn.training.run_record import RunRecord
    from charrnn.training.tensorboard import TensorBoard, write_tensorboard
    from charrnn.tuning.candidates import Candidate, combinations, of_equal_size
    from charrnn.tuning.comparison import compare
    from charrnn.tuning.dealing import on_workers
    from charrnn.tuning.lr_find import lr_find
    from charrnn.tuning.outcomes import Event, Outcome, Result, results
    from charrnn.tuning.pacing import on_time
    from charrnn.tuning.planning import Plan, plan, planned_size
    from charrnn.tuning.rate_test import RateTest
    from charrnn.tuning.replanning import plan_more
    from charrnn.tuning.space import Range
    from charrnn.tuning.trials import Trial, ranked
    from charrnn.tuning.tune import TuneEvent, tune
    from charrnn.tuning.tuned import Tuned, Unseen

__version__ = "0.1.0"

_HOMES = {
    "tuning.candidates": "Candidate combinations of_equal_size",
    "checkpoint.mixture": "Mixture load_mixture",
    "checkpoint.paths": "bundled_network find_checkpoint",
    "checkpoint.trained": "Origin Text Trained load save",
    "tuning.comparison": "compare",
    "tuning.dealing": "on_workers",
    "tuning.lr_find": "lr_find",
    "tuning.rate_test": "RateTest",
    "tuning.outcomes": "Event Outcome Result results",
    "evaluation.authorship": "Authorship authorship",
    "evaluation.calibration": "Calibration calibration",
    "evaluation.compression": "evaluate_ppmd evaluate_xz",
    "config.sampling": "SamplingConfig ShortConfig",
    "config.serving": "ServeConfig",
    "config.settings": "CorpusConfig DynamicConfig MemoryConfig ModelConfig",
    "config.training": "TrainConfig",
    "text.corpus": "Corpus",
    "text.datasets": "bundled_corpus fetch",
    "text.endings": "ends",
    "evaluation.dynamic": "adapt evaluate_dynamic",
    "evaluation.memory": "evaluate_with_memory",
    "evaluation.passages": "SurprisingPassage surprising_passages",
    "evaluation.score": "Score score",
    "evaluation.texts": "evaluate_texts",
    "export.html": "export_html",
    "export.onnx": "export_onnx",
    "export.card": "Card",
    "export.pytorch": "export_pytorch",
    "generation.cowriter": "Cowriter",
    "generation.ensemble": "Ensemble",
    "generation.outlook": "Outlook",
    "generation.manuscript": "Manuscript",
    "generation.manuscript_file": "ManuscriptFile",
    "errors": "CharrnnError CheckpointError ConfigError CorpusError DataError "
    "DivergenceError ExportError PeerError RunError SamplingError VocabError",
    "evaluation.evaluate": "Evaluation evaluate evaluate_windows mixed",
    "generation.generate": "Written generate generate_ids generate_many generate_texts",
    "generation.lexicon": "Lexicon",
    "generation.short": "ShortTexts folded",
    "inspection.activity": "activity",
    "inspection.attribution": "Attribution attribution",
    "inspection.features": "Feature text_features",
    "inspection.character_map": "CharacterMap character_map",
    "inspection.gradient_flow": "gradient_norms",
    "inspection.likelihood": "best_of with_logprobs",
    "inspection.saturation": "Saturation saturation",
    "inspection.trace": "Trace trace",
    "inspection.units": "Detector UnitSearch find_units untrained",
    "network.model": "Model",
    "reporting.advice": "Advice advice",
    "reporting.story": "Story report",
    "reporting.surprise": "surprise_page",
    "reporting.units_page": "units_page",
    "runtime.threads": "Workers",
    "tuning.pacing": "on_time",
    "tuning.space": "Range",
    "tuning.trials": "Trial ranked",
    "tuning.tune": "TuneEvent tune",
    "tuning.tuned": "Tuned Unseen",
    "tuning.planning": "Plan plan planned_size",
    "tuning.replanning": "plan_more",
    "training.run": "Run",
    "training.run_file": "load_run save_run",
    "training.run_folder": "RunFolder newest_run",
    "training.run_record": "RunRecord",
    "training.tensorboard": "TensorBoard write_tensorboard",
    "config.files": "configs_of preset presets",
    "text.findings": "Finding",
    "training.distributed": "on_ranks",
    "training.loop": "train",
    "training.report": "Report",
    "text.copies": "Copies",
    "text.overlap": "SharedPassage overlap",
    "text.vocab": "Vocab",
    "training.check": "TextCheck check",
    "generation.writer": "Writer",
}
"""The module of each public name."""

__all__ = [  # noqa: RUF022
    "check", "TextCheck", "Finding",
    "Corpus", "CorpusConfig", "Vocab", "bundled_corpus", "bundled_network", "fetch", "Model",
    "ModelConfig", "TrainConfig", "Trained", "Origin", "Text", "Run", "RunFolder", "RunRecord",
    "find_checkpoint", "newest_run", "preset",
    "presets", "configs_of", "advice", "Advice", "compare", "results", "Candidate", "Event",
    "Outcome", "Result",
    "combinations", "of_equal_size", "plan", "plan_more", "planned_size", "Plan", "on_time",
    "tune", "TuneEvent", "Tuned", "Trial", "Unseen", "Range", "ranked", "on_workers", "on_ranks",
    "lr_find", "RateTest", "train", "Report", "TensorBoard", "write_tensorboard",
    "generate", "generate_many", "generate_texts", "Written", "ShortTexts", "ShortConfig", "folded",
    "ends", "Lexicon", "generate_ids", "Writer", "Cowriter", "Manuscript", "ManuscriptFile",
    "evaluate", "evaluate_texts", "evaluate_windows",
    "score", "Score", "surprising_passages", "SurprisingPassage",
    "Evaluation", "mixed", "gradient_norms", "trace", "Trace",
    "find_units", "UnitSearch", "Detector", "untrained",
    "text_features", "Feature", "saturation", "Saturation", "activity", "attribution",
    "Attribution", "units_page",
    "save", "load", "load_mixture", "save_run", "load_run",
    "evaluate_dynamic", "DynamicConfig", "evaluate_with_memory", "MemoryConfig",
    "SamplingConfig", "ServeConfig",
    "evaluate_xz", "evaluate_ppmd", "authorship", "Authorship", "surprise_page",
    "report", "Story", "calibration", "Calibration", "character_map", "CharacterMap",
    "overlap", "SharedPassage", "Copies", "Ensemble", "Outlook", "Mixture", "export_onnx",
    "export_pytorch", "Card", "export_html", "adapt", "best_of", "with_logprobs", "CharrnnError",
    "CheckpointError", "ConfigError", "CorpusError", "DataError", "DivergenceError", "ExportError",
    "PeerError",
    "RunError", "SamplingError", "VocabError", "Workers",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    for module, names in _HOMES.items():
        if name in names.split():
            return getattr(import_module(f"charrnn.{module}"), name)
    raise AttributeError(f"module 'charrnn' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
