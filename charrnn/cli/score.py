"""`charrnn score`: how surprising every character of a text is."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from charrnn.cli import terminal
from charrnn.cli.checkpoints import ensemble_option, load_members, mixture_of
from charrnn.cli.options import PATH, decoding_options, threads_option
from charrnn.cli.score_authors import print_authorship
from charrnn.cli.score_display import print_colored, print_passages
from charrnn.cli.score_lines import print_line_losses
from charrnn.cli.score_text import ScoreText, check_place, check_texts, read_score_text
from charrnn.runtime.threads import Workers
from charrnn.text.sources import find

if TYPE_CHECKING:
    from charrnn.checkpoint.mixture import Mixture
    from charrnn.evaluation.score import Score
    from charrnn.text.vocab import Vocab

EPILOG = """\b
Examples:
  charrnn score page.txt                        by the newest run's network
  charrnn score page.txt --run checkpoints/plays --html page.html
  charrnn score page.txt --json > page.jsonl
  charrnn score --per-line < names.txt
  charrnn score letter.txt --run checkpoints/a --run checkpoints/b
"""
LENIENT = ("strict", "replace", "ignore")
"""What is done with bytes that cannot be decoded, the least lenient first."""
BLOCK = 4096
"""Characters printed at a time."""
TOP = 5
"""The most probable characters that are shown by default."""


@click.command("score", epilog=EPILOG)
@click.argument("texts", nargs=-1, type=PATH, metavar="[TEXT]...")
@click.option(
    "--run",
    "runs",
    multiple=True,
    type=PATH,
    metavar="RUN",
    help="The network: a .safetensors file or a run's folder. Give several to ask whose text it "
    "is. [default: the newest run]",
)
@ensemble_option
@click.option(
    "--passages",
    type=click.IntRange(0, 1000),
    default=10,
    show_default=True,
    help="How many of the most surprising passages to list; with several runs, of the sentences.",
)
@click.option(
    "--html",
    type=PATH,
    metavar="FILE",
    help="Write it as a web page: one file that loads nothing else.",
)
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print a JSON object per character, one on each line; with several runs, a single object.",
)
@click.option(
    "--top",
    type=click.IntRange(min=0),
    help="How many of the most probable characters --json and --html show. [default: 5]",
)
@click.option(
    "--per-line",
    is_flag=True,
    help="Score every line of TEXT by itself: print its nats per character, or with --json an "
    "object.",
)
@decoding_options
@threads_option
def score(
    texts: tuple[str, ...],
    runs: tuple[str, ...],
    ensemble: tuple[str, ...],
    passages: int,
    html: str | None,
    as_json: bool,
    top: int | None,
    per_line: bool,
    encoding: str | None,
    encoding_errors: str | None,
    unknown: str,
    threads: int | None,
) -> None:
    """Show how surprising every character of a text is to a network.

    TEXT: files, globs, folders; - or nothing is standard input. The surprise of a character is
    -ln p, in nats, where p is the probability that the network gave it after all characters before
    it. A terminal shows the text in colors, and below it the passages that surprised the network
    most; elsewhere, or with NO_COLOR, the passages alone are printed.
    """
    texts = texts or ("-",)
    check_texts(texts)
    inputs = find(texts)  # reports a missing text before kernels are loaded or compiled
    decoding = {"encoding": encoding, "encoding_errors": encoding_errors}
    if len(runs) > 1:
        _check_alone(
            {
                "--ensemble": ensemble,
                "--html": html,
                "--top": top is not None,
                "--per-line": per_line,
                "--unknown": unknown != "error",
            }
        )
        if len(set(runs)) < len(runs):
            raise click.UsageError("--run names the same network twice; leave one of them out")
        networks = [mixture_of(load_members(run, ())) for run in runs]
        text = read_score_text(_reader(networks, encoding), texts, decoding, "skip")
        with closing(Workers(threads)) as workers:
            print_authorship(runs, networks, text, passages, as_json, workers)
        return
    if html is not None:
        check_place("--html", Path(html), inputs.files)
    if per_line and html is not None:
        raise click.UsageError("--per-line and --html exclude each other; leave one of them out")
    mixture = mixture_of(load_members(runs[0] if runs else None, ensemble))
    with closing(Workers(threads)) as workers:
        if per_line:
            print_line_losses(mixture, texts, decoding, unknown, as_json, workers)
            return
        text = read_score_text(mixture, texts, decoding, unknown)
        count = min(TOP if top is None else top, len(mixture.vocab)) if as_json or html else 0
        result = _scored(mixture, text, count, workers)
    if html is not None:
        _write_page(html, result, text, mixture.vocab, passages)
    if as_json:
        _print_json(result, text, mixture.vocab)
    elif html is None:
        _show(result, text, passages)


def _check_alone(flags: dict[str, Any]) -> None:
    """`UsageError` for a flag that has no meaning with several networks."""
    for flag, value in flags.items():
        if value:
            raise click.UsageError(f"{flag} needs a single --run")


def _reader(networks: Sequence[Mixture], encoding: str | None) -> Mixture:
    """The network as whose text is read what several are compared on, whatever their order: of
    characters, the least lenient one's.
    """
    from charrnn.text.decoding import codec_name

    of_characters = [each for each in networks if each.vocab.unit == "char"]
    configs = [each.corpus_config for each in of_characters]
    if encoding is None and len({codec_name(each.encoding) for each in configs}) > 1:
        raise click.UsageError(
            "the networks' texts had different encodings; say by --encoding which this one has"
        )
    if len({(each.newlines, each.normalize) for each in configs}) > 1:
        raise click.UsageError(
            "the networks read their texts differently (newlines or normalize); compare those "
            "whose texts were read alike"
        )
    return min(
        of_characters,
        key=lambda each: LENIENT.index(each.corpus_config.encoding_errors),
        default=networks[0],
    )


def _scored(mixture: Mixture, text: ScoreText, top: int, workers: Workers) -> Score:
    from charrnn.evaluation.score import score

    with terminal.progress_bar("scoring", unit="char") as bar:
        return score(mixture, text.ids, top=top, workers=workers, progress=bar)


def _show(result: Score, text: ScoreText, passages: int) -> None:
    from charrnn.evaluation.passages import surprising_passages
    from charrnn.text.graphemes import graphemes
    from charrnn.text.vocab import NOUNS, counted

    shown = graphemes(text.symbols, text.unit)
    nats = shown.sums(text.spread_values(result.nats))
    if terminal.has_color(sys.stdout):
        print_colored(shown, nats)
    found = surprising_passages(shown.bases, nats, passages) if passages else []
    if found:
        print_passages(found, shown, nats, text.place)
        print()
    mean, expected = (float(each.mean(dtype="f8")) for each in (result.nats, result.entropy))
    noun = NOUNS[text.unit]
    size = counted(len(result), noun)
    terminal.show(f"{size}: {terminal.loss_text(mean, noun)}; it expected {expected:.4f} nats")
    left = len(text.symbols) - len(result)
    if left:
        terminal.say(f"left out: {counted(left, noun)} that are not in the vocabulary")


def _write_page(path: str, result: Score, text: ScoreText, vocab: Vocab, passages: int) -> None:
    from charrnn.reporting.surprise import surprise_page
    from charrnn.runtime.files import write_atomically

    title = ", ".join(source.name for source in text.sources[:3])
    title += f" and {len(text.sources) - 3} more" if len(text.sources) > 3 else ""
    title = "standard input" if title == "-" else title
    page = surprise_page(
        text.spread(result),
        text.symbols,
        vocab,
        title=f"Surprise: {title}",
        passages=passages,
        place=text.place if len(text.sources) > 1 else None,
    )
    write_atomically(Path(path), page.encode())
    terminal.say(f"wrote {terminal.one_line(path)}")


def _print_json(result: Score, text: ScoreText, vocab: Vocab) -> None:
    """Print a line for each symbol."""
    symbols = [terminal.json_text(symbol) for symbol in vocab.symbols]
    shown = {symbol: terminal.json_text(symbol) for symbol in set(text.symbols)}
    top = ", ".join(["[%s, %.6g]"] * result.top.shape[1])
    layout = (
        '{"offset": %d, "char": %s, "nats": %.6g, "rank": %d, "entropy": %.6g, "top": ['
        + top
        + "]}\n"
    )
    for a in range(0, len(result), BLOCK):
        part = slice(a, a + BLOCK)
        rows: Any = zip(
            text.places[part].tolist(),
            result.nats[part].tolist(),
            result.rank[part].tolist(),
            result.entropy[part].tolist(),
            result.top[part].tolist(),
            result.probabilities[part].tolist(),
            strict=True,
        )
        lines = []
        for place, nats, rank, entropy, ids, chances in rows:
            likely = (x for i, p in zip(ids, chances, strict=True) for x in (symbols[i], p))
            lines.append(layout % (place, shown[text.symbols[place]], nats, rank, entropy, *likely))
        click.echo("".join(lines), nl=False)
