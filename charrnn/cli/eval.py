"""`charrnn eval`: how well a network or an ensemble predicts a text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import click

from charrnn.cli import terminal
from charrnn.cli.checkpoints import ensemble_option, files_of, load_members, mixture_of, names_of
from charrnn.cli.eval_text import (
    learned_text,
    nothing,
    other_text,
    own_text,
    warn_of_other_texts,
)
from charrnn.cli.inputs import with_dynamic_kernels
from charrnn.cli.looks import note_test_look, warn_of_test_looks
from charrnn.cli.options import (
    PATH,
    check_decoding,
    decoding_options,
    flag_of,
    json_option,
    options_for,
    threads_option,
)
from charrnn.config import DynamicConfig, MemoryConfig
from charrnn.config.fields import Settings, settings_of
from charrnn.runtime.threads import Workers
from charrnn.text.sources import find

if TYPE_CHECKING:
    from charrnn.checkpoint.mixture import Mixture
    from charrnn.checkpoint.start_states import StartStates
    from charrnn.cli.eval_text import Text
    from charrnn.evaluation.evaluate import Evaluation
    from charrnn.network.model import Model
    from charrnn.text.vocab import TextIds

XZ_MOST = 4_000_000
"""Longer texts, in characters, are not compressed: that would take longer than evaluating them."""

FIGURES = ("nats_per_char", "characters", "bits_per_char")
"""The fields of an `Evaluation` that JSON shows."""

Asked = TypeVar("Asked", bound=Settings)

EPILOG = """\b
Examples:
  charrnn eval                                    the newest run, on its validation text
  charrnn eval checkpoints/plays --split test
  charrnn eval checkpoints/plays --dynamic
  charrnn eval checkpoints/plays --memory
  charrnn eval checkpoints/a --ensemble checkpoints/b --ensemble checkpoints/c
  charrnn eval checkpoints/plays other.txt --unknown nearest
  charrnn eval checkpoints/plays --json
"""


@click.command("eval", epilog=EPILOG)
@click.argument("checkpoint", required=False, type=PATH)
@click.argument("texts", nargs=-1, type=PATH, metavar="[TEXT]...")
@click.option(
    "--split",
    type=click.Choice(["validation", "test", "train"]),
    help="Part of the run's own text. [default: validation]",
)
@click.option(
    "--text",
    "own",
    multiple=True,
    type=PATH,
    metavar="FILE",
    help="Where the run's own text is now, if it has moved; may be repeated.",
)
@click.option(
    "--window",
    type=click.IntRange(min=0),
    default=256,
    show_default=True,
    help="Characters per window that starts from a zero state; 0: no windows.",
)
@click.option(
    "--dynamic",
    is_flag=True,
    help="Also let the network keep learning from the text that it has just been scored on.",
)
@options_for(DynamicConfig)
@click.option(
    "--counts/--no-counts",
    default=None,
    help="Beside --dynamic, count what came after which passages, in the training text and in what "
    "was read. [default: --counts]",
)
@click.option(
    "--memory",
    is_flag=True,
    help="Also let the network look up what came before in places that looked alike.",
)
@options_for(MemoryConfig)
@ensemble_option
@decoding_options
@threads_option
@json_option()
def eval_(
    checkpoint: str | None,
    texts: tuple[str, ...],
    split: str | None,
    own: tuple[str, ...],
    window: int,
    dynamic: bool,
    counts: bool | None,
    memory: bool,
    ensemble: tuple[str, ...],
    encoding: str | None,
    encoding_errors: str | None,
    unknown: str,
    threads: int | None,
    as_json: bool,
    **given: Any,
) -> None:
    """Measure how well a network predicts a text, in nats and bits per character.

    CHECKPOINT is a .safetensors file or a run's folder, by default the newest run's best. Without
    TEXT, it is scored on the validation part of its own text; with it, on all of TEXT (files,
    globs, folders, - for standard input). The first row carries the state through the whole text.
    The rows below show the loss over windows of --window characters, each starting from a zero
    state, and how well compressors do on the same text: PPMd, which reads the training part first
    (pip install 'charrnn-numba[ppmd]'), and xz.
    """
    if texts and (split or own):
        raise click.UsageError("--split and --text apply to the run's own text: leave out TEXT")
    check_decoding(texts, encoding, encoding_errors, unknown)
    config = _asked(DynamicConfig, dynamic, given, "dynamic evaluation: add --dynamic")
    if counts is not None and not dynamic:
        raise click.UsageError(
            "--counts and --no-counts apply to dynamic evaluation: add --dynamic"
        )
    counts = dynamic if counts is None else counts
    remembering = _asked(MemoryConfig, memory, given, "a memory: add --memory")
    if texts or own:
        find(texts or own)  # reports a missing text before kernels are loaded or compiled
    chosen = {"dynamic": dynamic, "counts": counts, "trust": dynamic or memory}
    kernels = [name for name, is_needed in chosen.items() if is_needed]
    members = load_members(checkpoint, ensemble, *kernels)
    networks = mixture_of(members)
    from charrnn.evaluation.compression import has_ppmd

    if texts:
        decoding = {"encoding": encoding, "encoding_errors": encoding_errors}
        text = other_text(networks, texts, decoding, unknown)
        before = learned_text(members[0]) if counts or has_ppmd() else nothing(members[0])
    else:
        text, before = own_text(members[0], own, split or "validation")
        warn_of_other_texts(members)
    from charrnn.text.documents import follows_separator
    from charrnn.text.vocab import NOUNS, counted

    is_begun = bool(texts) or follows_separator(text[1])
    if remembering is not None:
        from charrnn.evaluation.memory import check_length

        check_length(len(text[0]) - (not is_begun))
    if config is not None:
        config = with_dynamic_kernels(config, len(text[0]))
    learning = None if config is None else (config, counts)
    openings = [network.opening for network in networks] if is_begun else []
    with closing(Workers(threads)) as workers:
        measures = _measures(
            networks, text, before, openings, window, learning, remembering, workers
        )
        rows = {name: measure() for name, measure in measures.items()}
    if counts and texts and not len(before[0]):
        terminal.say("the training text is not there any more: nothing of it was counted")
    about, looked_at = files_of(members), members if split == "test" else []
    if split == "test":
        about["test_looks"] = warn_of_test_looks(members)
    if as_json:
        click.echo(terminal.json_text(_as_json(rows, window, learning, remembering) | about))
    else:
        what = "the text" if texts else f"the {split or 'validation'} part of its text"
        names = [terminal.one_line(name) for name in names_of(members)]
        whose = names[0]
        if len(names) > 1:
            whose = f"an ensemble of {len(members)} ({'; '.join(names)})"
        noun = NOUNS[networks.vocab.unit]
        terminal.show(f"{whose} on {what}, {counted(rows['carried'].characters, noun)}")
        _print_rows(rows, window, counts, noun)
    note_test_look(looked_at, rows["carried"].nats_per_char)


def _asked(kind: type[Asked], is_asked: bool, given: dict[str, Any], where: str) -> Asked | None:
    """The settings of this kind that were given, if their row is asked for; `UsageError` if it is
    not.
    """
    names = settings_of(kind)
    values = {name: given[name] for name in names if given[name] is not None}
    if values and not is_asked:
        raise click.UsageError(f"{flag_of(next(iter(values)))} applies to {where}")
    return kind(**values) if is_asked else None


def _measures(
    networks: Mixture,
    text: Text,
    before: Text,
    openings: Sequence[StartStates],
    window: int,
    learning: tuple[DynamicConfig, bool] | None,
    remembering: MemoryConfig | None,
    workers: Workers,
) -> dict[str, Callable[[], Evaluation]]:
    """The function that computes each row of the table, by its name in JSON. PPMd reads the text
    `before` first, and counts begin with it. learning: how, and whether there are counts.
    """
    from charrnn.evaluation.compression import evaluate_ppmd, evaluate_xz, has_ppmd
    from charrnn.evaluation.evaluate import evaluate, evaluate_windows

    ids, starts = text

    def with_bar(
        label: str,
        function: Callable[..., Evaluation],
        model: Model | Mixture,
        ids: TextIds = ids,
        **options: Any,
    ) -> Evaluation:
        with terminal.progress_bar(label, unit="char") as bar:
            return function(model, ids, starts=starts, workers=workers, progress=bar, **options)

    measures: dict[str, Callable[[], Evaluation]] = {
        "carried": partial(with_bar, "evaluating", evaluate, networks, openings=openings)
    }
    if window and len(ids) > 1:
        measures["window"] = partial(
            with_bar, f"windows of {window}", evaluate_windows, networks, window=window
        )
    if learning is not None:
        from charrnn.evaluation.dynamic import evaluate_dynamic  # loads another kernel

        config, counts = learning
        learn = partial(
            evaluate_dynamic, config=config, before=before, counting=counts, openings=openings
        )
        measures["dynamic"] = partial(with_bar, "dynamic evaluation", learn, networks)
    if remembering is not None:
        from charrnn.evaluation.memory import evaluate_with_memory

        remember = partial(evaluate_with_memory, config=remembering, openings=openings)
        measures["memory"] = partial(with_bar, "with a memory", remember, networks)

    def ppmd() -> Evaluation:
        with terminal.progress_bar("PPMd", unit="char") as bar:
            return evaluate_ppmd(ids, networks.vocab, before[0], progress=bar)

    if len(ids) <= XZ_MOST and len(before[0]) and has_ppmd():
        measures["ppmd"] = ppmd
    if len(ids) <= XZ_MOST:
        measures["xz"] = partial(evaluate_xz, ids, networks.vocab)
    return measures


def _print_rows(rows: dict[str, Evaluation], window: int, counts: bool, noun: str) -> None:
    titles = {
        "carried": "state carried",
        "window": f"windows of {window}, zero state",
        "dynamic": "dynamic, with counts" if counts else "dynamic",
        "memory": "with a memory",
        "ppmd": "PPMd, after the training part",
        "xz": "xz -9e",
    }
    width = max(len(titles[name]) for name in rows)
    for name, row in rows.items():
        bits = f"{row.bits_per_char:.4f} bits per {noun}"
        terminal.show(f"  {titles[name]:<{width}}  {row.nats_per_char:.4f} nats  {bits}")


def _as_json(
    rows: dict[str, Evaluation],
    window: int,
    learning: tuple[DynamicConfig, bool] | None,
    remembering: MemoryConfig | None,
) -> dict[str, Any]:
    """The figures by row; those of the carried state are at the top level."""
    figures = {name: {key: getattr(row, key) for key in FIGURES} for name, row in rows.items()}
    if "window" in figures:
        figures["window"]["size"] = window
    config, counts = learning or (None, False)
    if config is not None:
        figures["dynamic"]["counts"] = counts
    for row, settings in (("dynamic", config), ("memory", remembering)):
        for name, value in asdict(settings).items() if settings is not None else ():
            figures[row][name.removeprefix(f"{row}_")] = value
    return figures.pop("carried") | figures
