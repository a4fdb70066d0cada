"""What `charrnn train` says before it trains."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from charrnn.cli.options import with_own_flags
from charrnn.cli.terminal import one_line, passes_text, say, settings_text, size_text
from charrnn.config.files import values_of

if TYPE_CHECKING:
    from charrnn.cli.options import Request
    from charrnn.text.corpus import Corpus
    from charrnn.training.run import Run
    from charrnn.training.run_folder import RunFolder

PROGRAM = 150e6  # bytes used by Python, its libraries and the compiled kernels
MANY_PARAMETERS = 3.0
"""Parameters per character; with more, a network soon overfits (docs/recipes.md). The recipe's
smallest network may have more, and a smaller one would be of no use.
"""
ADVICE = 2
"""Lines about what is wrong with the text; `charrnn check` says all."""


def show_start(run: Run, corpus: Corpus, folder: RunFolder, request: Request) -> None:
    """Print what was read and what will be trained on it; with --verbose, the settings too."""
    from charrnn.text.corpus import part_sizes
    from charrnn.text.vocab import counted
    from charrnn.training.check import advice
    from charrnn.training.distributed import current
    from charrnn.training.recipe import WIDTHS

    first = Path(corpus.sources[0].path)
    name = "standard input" if str(first) == "-" else first.name
    name += f" and {len(corpus.sources) - 1} more" if len(corpus.sources) > 1 else ""
    unit = "bytes" if corpus.vocab.unit == "byte" else "characters"
    parts = f"learns from {len(corpus.train):,}"
    if len(corpus.validation):
        parts += f", is measured on {len(corpus.validation):,}"
    if len(corpus.test):
        parts += f", keeps {len(corpus.test):,} for a test"
    say(f"{one_line(name)}: {len(corpus):,} {unit}, {len(corpus.vocab)} symbols; {parts}")
    if corpus.document_starts is not None:
        count = len(corpus.document_starts) + 1
        matches = count > 1 + len(part_sizes(corpus.sources))  # each part begins one
        missing = "" if matches else "; --document-separator does not match anywhere in the text"
        say(f"documents: {count:,}{missing}")
    if run.step == 0:
        for finding in advice(corpus)[:ADVICE]:
            text = with_own_flags(f"{finding.kind}: {finding.text} {finding.command}")
            say(one_line(text).strip())
    model, config, requested = run.model.config, run.config, request.training
    shape = config.batch_size, config.seq_length
    asked_shape = requested.batch_size or shape[0], requested.seq_length
    if run.step == 0 and asked_shape != shape:
        say(
            f"the text is short: batches of {shape[0]} x {shape[1]} characters instead of "
            f"{asked_shape[0]} x {asked_shape[1]}"
        )
    size = f"{counted(model.layers, 'layer')} of {counted(model.hidden, 'unit')}"
    reach = f", looks back {model.attention:,} {unit}" if model.attention else ""
    say(f"network: {model.cell}, {size}, {run.model.count():,} parameters{reach}")
    per_character = run.model.count() / len(corpus.train)
    if per_character > MANY_PARAMETERS and model.hidden > WIDTHS[0]:
        say(
            f"warning: {per_character:.1f} parameters per {unit[:-1]} of training text: watch the "
            "validation loss, or use a smaller --hidden"
        )
    resumed = f", resumed at step {run.step:,}" if run.step else ""
    processes = current().size
    shared = f", on {processes} processes" if processes > 1 else ""
    say(
        f"training: {counted(run.total_steps, 'step')}, "
        f"{passes_text(run.total_steps / run.steps_per_epoch)}{shared}, into "
        f"{folder.path}{resumed}"
    )
    if request.verbose:
        _show_settings(run, corpus, request.threads)


def _show_settings(run: Run, corpus: Corpus, threads: int | None) -> None:
    from charrnn.runtime.threads import usable_threads
    from charrnn.text.vocab import counted
    from charrnn.training.memory_estimate import memory_estimate

    model, config, has_documents = run.model.config, run.config, corpus.document_starts is not None
    memory = memory_estimate(model, config, has_documents, run.anchor is not None)
    size = size_text(memory + corpus.nbytes + PROGRAM)
    say(f"about {size} of memory, {counted(usable_threads(threads), 'thread')}")
    say(settings_text(values_of(run.corpus_config, model, config)))
