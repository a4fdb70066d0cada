"""`charrnn eval`: how well a network, or several together, predict a text."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from charrnn.cli import terminal
from charrnn.cli.checkpoints import Member, ensemble_option, load_members
from charrnn.cli.eval_text import other_text, own_text, tell_of_other_texts
from charrnn.cli.options import json_option, options_for, threads_option
from charrnn.config import DynamicConfig

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from charrnn.checkpoint.trained import Trained
    from charrnn.cli.eval_text import Text
    from charrnn.evaluation.evaluate import Evaluation
    from charrnn.runtime.threads import Workers
    from charrnn.text.vocab import Vocab

XZ_MOST = 4_000_000
"""Longer texts, in characters, are not compressed: that would take longer than reading them."""

EPILOG = """\b
Examples:
  charrnn eval                                    the newest run, on its validation text
  charrnn eval checkpoints/plays --split test
  charrnn eval checkpoints/plays --dynamic
  charrnn eval checkpoints/a --ensemble checkpoints/b --ensemble checkpoints/c
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
    "--text",
    "own",
    multiple=True,
    metavar="FILE",
    help="Where the run's own text is now, if it was moved; may be repeated.",
)
@click.option(
    "--window",
    type=click.IntRange(min=0),
    default=256,
    show_default=True,
    help="Characters a cold window; 0: none.",
)
@click.option(
    "--dynamic",
    is_flag=True,
    help="Also let the network learn from what it has been judged on: a row of its own.",
)
@options_for(DynamicConfig)
@ensemble_option
@click.option("--encoding", help="Character encoding of TEXT. [default: the run's]")
@click.option(
    "--unknown",
    type=click.Choice(["error", "skip", "nearest"]),
    default="error",
    show_default=True,
    help="What becomes of characters that the model does not know; where it has an unknown "
    "symbol, error takes that.",
)
@click.option(
    "--per-char", is_flag=True, help="Print a JSON object a predicted character: char, nats."
)
@threads_option
@json_option()
def eval_(
    checkpoint: str | None,
    texts: tuple[str, ...],
    split: str | None,
    own: tuple[str, ...],
    window: int,
    dynamic: bool,
    ensemble: tuple[str, ...],
    encoding: str | None,
    unknown: str,
    per_char: bool,
    threads: int | None,
    as_json: bool,
    **adapting: Any,
) -> None:
    """Measure how well a network predicts a text, in nats and bits a character.

    CHECKPOINT is a .safetensors file or a run's folder, by default the newest run's best. Without
    TEXT the run's own validation part is read; with it, all of TEXT (files, globs, folders, - for
    standard input). The state is carried through the whole text; below that stands the loss over
    windows of --window characters, each from a cold state, and what xz makes of the same text.
    """
    if per_char and as_json:
        raise click.UsageError("--per-char and --json cannot both be given")
    if texts and (split or own):
        raise click.UsageError("--split and --text are for the run's own text: leave out TEXT")
    if not texts and (encoding or unknown != "error"):
        raise click.UsageError(
            "--encoding and --unknown are for a TEXT: the run's own text is read as in training"
        )
    given = {name: value for name, value in adapting.items() if value is not None}
    if given and not dynamic:
        flag = "--" + next(iter(given)).replace("_", "-")
        raise click.UsageError(f"{flag} is for dynamic evaluation: add --dynamic")
    config = DynamicConfig(**given) if dynamic else None
    members = load_members(checkpoint, ensemble, *(["dynamic"] if dynamic else []))
    networks = [member.trained for member in members]
    if texts:
        text = other_text(networks[0], texts, encoding, unknown)
    else:
        text = own_text(members[0], own, split or "validation")
        tell_of_other_texts(members)
    from charrnn.evaluation.evaluate import mean_of
    from charrnn.runtime.threads import Workers, usable_threads

    with closing(Workers(usable_threads(threads))) as workers:
        if per_char:
            losses = _losses(networks, text, config, workers)
            _print_per_char(losses, text, networks[0].vocab)
            nats = mean_of(losses).nats_per_char
        else:
            rows = _rows(networks, text, window, config, workers)
            nats = rows["carried"].nats_per_char
    earlier = _note_test(members, nats) if split == "test" else []
    paths = [str(member.path) for member in members]
    if as_json:
        about: dict[str, object] = {"checkpoint": paths[0]}
        about |= {"ensemble": paths[1:]} if ensemble else {}
        about |= {"test_looks": earlier} if split == "test" else {}
        click.echo(json.dumps({**_as_json(rows, window, config), **about}))
    elif not per_char:
        what = "the text" if texts else f"the {split or 'validation'} part of its text"
        names = [terminal.one_line(path) for path in paths]
        whose = names[0] if len(names) == 1 else f"an ensemble of {len(names)} ({', '.join(names)})"
        click.echo(f"{whose} on {what}, {rows['carried'].characters:,} characters")
        _print_rows(rows, window)


def _losses(
    networks: Sequence[Trained], text: Text, config: DynamicConfig | None, workers: Workers
) -> NDArray[np.float32]:
    """The loss of each character with carried state, or while each network adapts by itself."""
    from charrnn.evaluation.evaluate import mixed, per_character

    ids, starts = text
    if config is None:
        models = [network.model for network in networks]
        with terminal.progress_bar("evaluating", unit="char") as bar:
            return per_character(models, ids, starts=starts, workers=workers, progress=bar)
    from charrnn.evaluation.dynamic import per_character_dynamic  # whose kernel is its own

    losses = []
    for network in networks:
        with terminal.progress_bar("dynamic evaluation", unit="char") as bar:
            adapted = per_character_dynamic(
                network.model,
                ids,
                config,
                squares=network.squares,
                starts=starts,
                workers=workers,
                progress=bar,
            )
        losses.append(adapted)
    return mixed(losses)


def _rows(
    networks: Sequence[Trained],
    text: Text,
    window: int,
    config: DynamicConfig | None,
    workers: Workers,
) -> dict[str, Evaluation]:
    """The rows of the table, each by its name in JSON."""
    from charrnn.evaluation.compression import evaluate_xz
    from charrnn.evaluation.evaluate import evaluate_windows, mean_of

    ids, starts = text
    rows = {"carried": mean_of(_losses(networks, text, None, workers))}
    if window:
        models = [network.model for network in networks]
        with terminal.progress_bar(f"windows of {window}", unit="char") as bar:
            rows["window"] = evaluate_windows(
                models, ids, window, starts=starts, workers=workers, progress=bar
            )
    if config is not None:
        rows["dynamic"] = mean_of(_losses(networks, text, config, workers))
    if len(ids) <= XZ_MOST:
        rows["xz"] = evaluate_xz(ids, networks[0].vocab)
    return rows


def _print_rows(rows: dict[str, Evaluation], window: int) -> None:
    titles = {"carried": "state carried", "window": f"windows of {window}, cold", "xz": "xz -9e"}
    width = max(len(titles.get(name, name)) for name in rows)
    for name, row in rows.items():
        bits = f"{row.bits_per_char:.4f} bits a character"
        click.echo(f"  {titles.get(name, name):<{width}}  {row.nats_per_char:.4f} nats  {bits}")


def _as_json(
    rows: dict[str, Evaluation], window: int, config: DynamicConfig | None
) -> dict[str, object]:
    """The figures by row; those of carried state stand at the top."""
    adapting = {} if config is None else asdict(config)
    settings = {
        "window": {"size": window},
        "dynamic": {name.removeprefix("dynamic_"): value for name, value in adapting.items()},
    }
    figures = {
        name: {**asdict(row), "bits_per_char": row.bits_per_char, **settings.get(name, {})}
        for name, row in rows.items()
    }
    return {**figures.pop("carried"), **figures}


def _print_per_char(losses: NDArray[np.float32], text: Text, vocab: Vocab) -> None:
    """A line for each character but the first."""
    symbols = [json.dumps(symbol) for symbol in vocab.symbols]
    for a in range(0, len(losses), 4096):
        ids, nats = text[0][a + 1 : a + 4097].tolist(), losses[a : a + 4096].tolist()
        lines = [
            f'{{"char": {symbols[i]}, "nats": {loss:.6g}}}\n'
            for i, loss in zip(ids, nats, strict=True)
        ]
        click.echo("".join(lines), nl=False)


def _note_test(members: Sequence[Member], nats: float) -> list[dict[str, object]]:
    """Note beside each checkpoint that its test part has been looked at, and warn of earlier looks.

    Returns the earlier looks.
    """
    from charrnn.training.run_folder import note_test_look, test_looks

    paths: dict[Path, Path] = {}
    for member in members:
        paths.setdefault(member.path.parent, member.path)
    earlier: list[dict[str, object]] = []
    for folder, path in paths.items():
        looks, where = test_looks(path), terminal.one_line(str(folder))
        earlier += looks
        if looks:
            times = "once" if len(looks) == 1 else f"{len(looks)} times"
            terminal.say(
                f"{where}: the test part has been looked at {times} before, last at "
                f"{looks[-1]['when']} UTC; what is chosen by it is no longer tested by it"
            )
        try:
            note_test_look(path, nats)
        except OSError as error:
            terminal.say(
                f"{where}: cannot note that the test part was looked at ({error.strerror})"
            )
    return earlier
