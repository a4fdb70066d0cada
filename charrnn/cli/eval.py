"""`charrnn eval`: how well a network predicts a text."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from charrnn import terminal
from charrnn.cli.given import read_text
from charrnn.errors import CorpusError, VocabError

if TYPE_CHECKING:
    from charrnn.corpus import Corpus
    from charrnn.documents import Starts
    from charrnn.run import Run

EPILOG = """\b
Examples:
  charrnn eval                                    the newest run, on its validation text
  charrnn eval checkpoints/plays --split test
  charrnn eval checkpoints/plays other.txt --unknown nearest
  charrnn eval checkpoints/plays --json
  charrnn eval checkpoints/plays page.txt --per-char > losses.jsonl
"""


@click.command("eval", epilog=EPILOG)
@click.argument("checkpoint", required=False)
@click.argument("texts", nargs=-1, metavar="[TEXT]...")
@click.option(
    "--split",
    type=click.Choice(["validation", "test", "train"]),
    help="Part of the run's own text. [default: validation]",
)
@click.option(
    "--window", type=click.IntRange(min=0), default=256, show_default=True, help="Characters a cold window; 0: none."
)
@click.option("--encoding", help="Character encoding of TEXT. [default: the run's]")
@click.option(
    "--unknown",
    type=click.Choice(["error", "skip", "nearest"]),
    default="error",
    show_default=True,
    help="What becomes of characters that the model does not know; where it has an unknown symbol, error takes that.",
)
@click.option("--per-char", is_flag=True, help="Print a JSON object a predicted character: char, nats.")
@click.option("--threads", type=click.IntRange(min=1), help="Threads. [default: all processors]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def eval_(
    checkpoint: str | None,
    texts: tuple[str, ...],
    split: str | None,
    window: int,
    encoding: str | None,
    unknown: str,
    per_char: bool,
    threads: int | None,
    as_json: bool,
) -> None:
    """Measure how well a network predicts a text, in nats and bits a character.

    CHECKPOINT is a .safetensors file or a run's folder, by default the newest run's best. Without TEXT the run's own
    validation part is read; with it, all of TEXT (files, globs, folders, - for standard input). The state is carried
    through the whole text; beside that stands the loss over windows of --window characters, each from a cold state.
    """
    if per_char and as_json:
        raise click.UsageError("--per-char and --json cannot both be given")
    if texts and split:
        raise click.UsageError("--split is for the run's own text: give it without TEXT")
    if not texts and (encoding or unknown != "error"):
        raise click.UsageError("--encoding and --unknown are for a TEXT: the run's own text is read as in training")
    terminal.compiling()
    from charrnn.checkpoint import configurations_of, load
    from charrnn.run_folder import find_checkpoint

    path = find_checkpoint(checkpoint)
    terminal.compiling(configurations_of(path)[0].cell)
    run = load(path)
    text = other_text(run, texts, encoding, unknown) if texts else own_text(run, split or "validation")
    if per_char:
        _print_per_char(run, *text, threads)
        return
    result = _measure(run, *text, window, threads)
    if as_json:
        click.echo(json.dumps({**result, "checkpoint": str(path)}))
        return
    what = "the text" if texts else f"the {split or 'validation'} part of its text"
    click.echo(f"{terminal.one_line(str(path))} on {what}, {result['characters']:,} characters")
    _print_figures("state carried", result)
    if window:
        _print_figures(f"windows of {window}", result["window"])


def own_text(run: Run, split: str) -> tuple[Any, Starts | None]:
    """A part of the text that a run was started on, and where documents begin in it.

    It is read again; `CorpusError` if it is gone, has changed, or is empty.
    """
    paths = [source.path for source in run.sources]
    if "-" in paths:
        raise CorpusError("the run's text came from standard input; name one: charrnn eval CHECKPOINT TEXT")
    corpus = _read(run, paths)
    run.check_text(corpus)
    ids, starts = {
        "train": (corpus.train, corpus.train_starts),
        "validation": (corpus.validation, corpus.validation_starts),
        "test": (corpus.test, corpus.test_starts),
    }[split]
    if len(ids) < 2:
        flag = "--test-fraction" if split == "test" else "--val-fraction"
        raise CorpusError(
            f"the run has no {split} part (it was trained with {flag} 0, or the text is short); name a TEXT to eval"
        )
    return ids, starts


def _read(run: Run, paths: Sequence[str]) -> Corpus:
    if not paths:
        raise CorpusError("the run does not say where its text is; name one: charrnn eval CHECKPOINT TEXT")
    try:
        return read_text(paths, run.corpus_config, vocab=run.vocab)
    except VocabError as error:
        raise CorpusError(f"the run's text has changed: {error}") from None
    except CorpusError as error:
        raise CorpusError(f"the run's text: {error}, or name a text: charrnn eval CHECKPOINT TEXT") from None


def other_text(run: Run, texts: Sequence[str], encoding: str | None, unknown: str) -> tuple[Any, Starts | None]:
    """The ids of another text, and where documents begin in what the network reads of it."""
    from charrnn.documents import document_starts

    ids, separator = _other_ids(run, texts, encoding, unknown), run.corpus_config.document_separator
    return ids, None if separator is None else document_starts(ids, run.vocab, separator)


def _other_ids(run: Run, texts: Sequence[str], encoding: str | None, unknown: str) -> Any:
    """All of another text in the ids of the run's vocabulary; `VocabError` for characters that it lacks, if "error"."""
    config = replace(run.corpus_config, val_fraction=0.0, test_fraction=0.0)
    config = replace(config, min_count=1, encoding=encoding or config.encoding)
    if unknown != "error":
        return _known(read_text(texts, config, extend=run.vocab), run, unknown)
    try:
        return read_text(texts, config, vocab=run.vocab).ids
    except VocabError as error:
        raise VocabError(f"{error}, or eval with --unknown skip or --unknown nearest") from None


def _known(corpus: Corpus, run: Run, unknown: str) -> Any:
    """The ids without those of symbols that the run does not know, or with the nearest symbol's in their place."""
    import numpy as np

    symbols, known = corpus.vocab.symbols, len(run.vocab)
    table = np.arange(len(symbols), dtype=np.int32)
    for i in range(known, len(symbols)):
        alike = run.vocab.nearest(symbols[i]) if unknown == "nearest" else None
        table[i] = -1 if alike is None else run.vocab.index[alike]
    if (table >= 0).all() and known == len(symbols):
        return corpus.ids
    ids = table[corpus.ids]
    return ids[ids >= 0].astype(run.vocab.dtype)


def _measure(run: Run, ids: Any, starts: Starts | None, window: int, threads: int | None) -> dict[str, Any]:
    from charrnn.evaluation import Evaluation, evaluate, evaluate_windows
    from charrnn.workers import Workers, usable_threads

    def figures(found: Evaluation) -> dict[str, Any]:
        return {
            "nats_per_char": found.nats_per_char,
            "bits_per_char": found.bits_per_char,
            "characters": found.characters,
        }

    workers = Workers(usable_threads(threads))
    try:
        with terminal.progress_bar("evaluating", unit="char") as bar:
            result = figures(evaluate(run.result, ids, starts=starts, workers=workers, progress=bar))
        if window:
            with terminal.progress_bar(f"windows of {window}", unit="window") as bar:
                found = evaluate_windows(run.result, ids, window, starts=starts, workers=workers, progress=bar)
            result["window"] = {"size": window, **figures(found)}
    finally:
        workers.close()
    return result


def _print_per_char(run: Run, ids: Any, starts: Starts | None, threads: int | None) -> None:
    from charrnn.evaluation import per_character
    from charrnn.workers import Workers, usable_threads

    workers = Workers(usable_threads(threads))
    try:
        with terminal.progress_bar("evaluating", unit="char") as bar:
            losses = per_character(run.result, ids, starts=starts, workers=workers, progress=bar)
    finally:
        workers.close()
    symbols = [json.dumps(symbol) for symbol in run.vocab.symbols]
    for a in range(0, len(losses), 4096):
        block = zip(ids[a + 1 : a + 4097].tolist(), losses[a : a + 4096].tolist(), strict=True)
        lines = [f'{{"char": {symbols[i]}, "nats": {nats:.6g}}}\n' for i, nats in block]
        click.echo("".join(lines), nl=False)


def _print_figures(name: str, figures: dict[str, Any]) -> None:
    click.echo(f"  {name:<16} {figures['nats_per_char']:.4f} nats  {figures['bits_per_char']:.4f} bits a character")
