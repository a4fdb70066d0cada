"""`charrnn eval`: how well a network, or several together, predict a text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from charrnn.cli import terminal
from charrnn.cli.checkpoints import Member, ensemble_option, load_members
from charrnn.cli.eval_text import other_text, own_text, tell_of_other_texts
from charrnn.cli.options import options_for
from charrnn.config.settings import DynamicConfig

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from charrnn.evaluation.evaluate import Evaluation, Progress
    from charrnn.runtime.threads import Workers
    from charrnn.text.documents import Starts

XZ_MOST = 4_000_000
"""Characters of a longer text are not compressed: that would take longer than to read it."""

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
@click.option("--threads", type=click.IntRange(min=1), help="Threads. [default: all processors]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def eval_(
    checkpoint: str | None,
    texts: tuple[str, ...],
    split: str | None,
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
    if texts and split:
        raise click.UsageError("--split is for the run's own text: give it without TEXT")
    if not texts and (encoding or unknown != "error"):
        raise click.UsageError(
            "--encoding and --unknown are for a TEXT: the run's own text is read as in training"
        )
    how = _dynamic(dynamic, adapting)
    members = load_members(checkpoint, ensemble, *(["dynamic"] if dynamic else []))
    run = members[0].run
    if texts:
        text = other_text(run, texts, encoding, unknown)
    else:
        text = own_text(run, split or "validation")
        tell_of_other_texts(members)
    measure = _Measure(members, *text, how, threads)
    if per_char:
        measure.print_per_char()
    else:
        measure.all(window)
    earlier = _note_test(members, measure.nats) if split == "test" else []
    if as_json:
        about: dict[str, Any] = {"checkpoint": str(members[0].path)}
        about |= {"ensemble": [str(member.path) for member in members[1:]]} if ensemble else {}
        about |= {"test_looks": earlier} if split == "test" else {}
        click.echo(json.dumps({**measure.as_json(), **about}))
    elif not per_char:
        what = "the text" if texts else f"the {split or 'validation'} part of its text"
        measure.print_rows(what)


def _dynamic(dynamic: bool, adapting: dict[str, Any]) -> DynamicConfig | None:
    """How the networks adapt; None if they do not."""
    given = {name: value for name, value in adapting.items() if value is not None}
    if dynamic:
        return DynamicConfig(**given)
    if given:
        raise click.UsageError(
            f"--{next(iter(given)).replace('_', '-')} is for dynamic evaluation: add --dynamic"
        )
    return None


class _Measure:
    """What is measured of the members on one text: rows of figures, each by its name."""

    def __init__(
        self,
        members: list[Member],
        ids: NDArray[Any],
        starts: Starts | None,
        dynamic: DynamicConfig | None,
        threads: int | None,
    ) -> None:
        self._members, self._ids, self._starts = members, ids, starts
        self._dynamic, self._threads = dynamic, threads
        self._models = [member.run.result for member in members]
        self.rows: dict[str, Evaluation] = {}
        self._window = 0
        self.nats = 0.0

    def all(self, window: int) -> None:
        """Every row."""
        from charrnn.evaluation.compression import evaluate_xz
        from charrnn.evaluation.evaluate import evaluate, evaluate_windows, mean_of
        from charrnn.runtime.threads import Workers, usable_threads

        workers, rows, vocab = (
            Workers(usable_threads(self._threads)),
            self.rows,
            self._members[0].run.vocab,
        )
        options: dict[str, Any] = {"starts": self._starts, "workers": workers}
        try:
            with terminal.progress_bar("evaluating", unit="char") as bar:
                rows["state carried"] = evaluate(self._models, self._ids, progress=bar, **options)
            if window:
                with terminal.progress_bar(f"windows of {window}", unit="window") as bar:
                    found = evaluate_windows(
                        self._models, self._ids, window, progress=bar, **options
                    )
                self._window, rows[f"windows of {window}, cold"] = window, found
            if self._dynamic is not None:
                with terminal.progress_bar("dynamic evaluation", unit="char") as bar:
                    rows["dynamic"] = mean_of(self._adapting(self._dynamic, workers, bar))
        finally:
            workers.close()
        if len(self._ids) <= XZ_MOST:
            rows["xz -9e"] = evaluate_xz(self._ids, vocab)
        self.nats = rows["state carried"].nats_per_char

    def _adapting(
        self, config: DynamicConfig, workers: Workers, progress: Progress
    ) -> NDArray[Any]:
        """The losses of the members, each of which adapts by itself."""
        from charrnn.evaluation.dynamic import per_character_dynamic
        from charrnn.evaluation.evaluate import in_turn, mixed
        from charrnn.training.run import squares_of

        options: dict[str, Any] = {"starts": self._starts, "workers": workers}
        turns = zip(self._members, in_turn(self._models, progress), strict=True)
        return mixed(
            [
                per_character_dynamic(
                    model,
                    self._ids,
                    config,
                    squares=squares_of(member.run),
                    progress=told,
                    **options,
                )
                for member, (model, told) in turns
            ]
        )

    def print_per_char(self) -> None:
        """A line for each character: its loss with carried state, or if asked for that of dynamic
        evaluation.
        """
        from charrnn.evaluation.evaluate import mean_of, per_character
        from charrnn.runtime.threads import Workers, usable_threads

        workers = Workers(usable_threads(self._threads))
        try:
            with terminal.progress_bar("evaluating", unit="char") as bar:
                if self._dynamic is None:
                    losses = per_character(
                        self._models, self._ids, starts=self._starts, workers=workers, progress=bar
                    )
                else:
                    losses = self._adapting(self._dynamic, workers, bar)
        finally:
            workers.close()
        self.nats = mean_of(losses).nats_per_char
        symbols = [json.dumps(symbol) for symbol in self._members[0].run.vocab.symbols]
        for a in range(0, len(losses), 4096):
            block = zip(
                self._ids[a + 1 : a + 4097].tolist(), losses[a : a + 4096].tolist(), strict=True
            )
            lines = [f'{{"char": {symbols[i]}, "nats": {nats:.6g}}}\n' for i, nats in block]
            click.echo("".join(lines), nl=False)

    def as_json(self) -> dict[str, Any]:
        """The figures; those of carried state stand at the top."""
        rows = {name: _figures(found) for name, found in self.rows.items()}
        result = rows["state carried"]
        if self._window:
            result["window"] = {"size": self._window, **rows[f"windows of {self._window}, cold"]}
        if self._dynamic is not None:
            settings = {
                name.removeprefix("dynamic_"): value for name, value in vars(self._dynamic).items()
            }
            result["dynamic"] = {**rows["dynamic"], **settings}
        if "xz -9e" in rows:
            result["xz"] = rows["xz -9e"]
        return result

    def print_rows(self, what: str) -> None:
        """The table."""
        names = [terminal.one_line(str(member.path)) for member in self._members]
        whose = names[0] if len(names) == 1 else f"an ensemble of {len(names)} ({', '.join(names)})"
        click.echo(f"{whose} on {what}, {self.rows['state carried'].characters:,} characters")
        width = max(len(name) for name in self.rows)
        for name, found in self.rows.items():
            bits = f"{found.bits_per_char:.4f} bits a character"
            click.echo(f"  {name:<{width}}  {found.nats_per_char:.4f} nats  {bits}")


def _figures(found: Evaluation) -> dict[str, Any]:
    return {
        "nats_per_char": found.nats_per_char,
        "bits_per_char": found.bits_per_char,
        "characters": found.characters,
    }


def _note_test(members: list[Member], nats: float) -> list[dict[str, Any]]:
    """Note beside each checkpoint that its test part has been looked at; the earlier looks of all,
    of which it tells.
    """
    from charrnn.training.run_folder import note_test_look, test_looks

    earlier: list[dict[str, Any]] = []
    for folder in dict.fromkeys(member.path.parent for member in members):
        path: Path = next(member.path for member in members if member.path.parent == folder)
        looks = test_looks(path)
        earlier += looks
        if looks:
            times = "once" if len(looks) == 1 else f"{len(looks)} times"
            terminal.tell(
                f"{terminal.one_line(str(folder))}: the test part has been looked at {times} "
                f"before, last at {looks[-1]['when']} "
                "UTC; what is chosen by it is no longer tested by it"
            )
        try:
            note_test_look(path, nats)
        except OSError as error:
            terminal.tell(
                f"{terminal.one_line(str(folder))}: that the test part was looked at cannot be "
                f"noted ({error.strerror})"
            )
    return earlier
