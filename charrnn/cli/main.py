"""The group `charrnn`, and the one place where an error becomes text and an exit status.

0 done    1 error    2 wrong flag or setting    130 interrupted    141 nobody reads the output
143 terminated
"""

import contextlib
import gc
import os
import sys
from importlib import import_module
from typing import Any

import click

import charrnn
from charrnn.cli.terminal import PARAMETER, print_error
from charrnn.errors import CharrnnError, ConfigError

COMMANDS = {
    "train": ("charrnn.cli.train:train", "Train a network on a text, or go on with a run."),
    "sample": ("charrnn.cli.sample:sample", "Let a trained network write."),
    "eval": ("charrnn.cli.eval:eval_", "Measure how well a network predicts a text."),
    "compare": (
        "charrnn.cli.compare:compare",
        "Train several configurations, and say which predicts best.",
    ),
    "bench": ("charrnn.cli.bench:bench", "Measure how fast this machine trains and samples."),
    "info": ("charrnn.cli.info:info", "Show what a checkpoint holds."),
    "data": ("charrnn.cli.data:data", "List and fetch texts to train on."),
}
"""Name -> where it lives, and its line in the help. Commands are imported when they are called:
`--help` must be quick.
"""

USAGE, INTERRUPTED, BROKEN_PIPE = 2, 130, 141

RENAMED = {"streams": "--count", "duration": "--for", "folder": "--out"}
"""Parameters of the library whose flag has another name, unless the command has one of theirs."""


class LazyGroup(click.Group):
    """A group that imports a command when it is called, and turns errors into one line and an exit
    status.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of the work."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported now; None if there is no such name."""
        return _imported(cmd_name) if cmd_name in COMMANDS else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands' lines from the table, so that none is imported."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, about) for name, (_, about) in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; what it raises becomes one line on stderr and an exit status."""
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
            return result
        except (CharrnnError, KeyboardInterrupt, MemoryError, OSError) as error:
            ctx.exit(report(error, ctx.invoked_subcommand or ""))


def report(error: BaseException, command: str = "") -> int:
    """Print an error that a user of this command can cause, in one line on stderr; the exit status
    that it asks for.
    """
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    if isinstance(error, BrokenPipeError):
        _close_output()
        return BROKEN_PIPE
    if isinstance(error, OSError):
        _close_output()
        place = f"{error.filename}: " if error.filename else ""
        print_error(f"{place}{error.strerror or error}; check the disk and the file's permissions")
    elif isinstance(error, MemoryError):
        reason = f" ({error})" if str(error) else ""
        print_error(f"out of memory{reason}; use a smaller network or batch, or a shorter text")
    else:
        print_error(with_flags(str(error), command))
    return USAGE if isinstance(error, ConfigError) else 1


def with_flags(message: str, command: str = "") -> str:
    """The message with flags for the parameters that it names in backticks: those of the command
    first, then those of any other. What else stands in backticks stays as it is.
    """
    if not PARAMETER.search(message):
        return message
    flags: dict[str, str] = {}
    for other in COMMANDS:
        flags |= _flags_of(other)
    flags |= RENAMED | (_flags_of(command) if command in COMMANDS else {})
    return PARAMETER.sub(lambda match: flags.get(match[1], match[0]), message)


def _flags_of(command: str) -> dict[str, str]:
    """The flag of each option of a command, by the name of its parameter."""
    options = (p for p in _imported(command).params if isinstance(p, click.Option))
    return {option.human_readable_name: option.opts[-1] for option in options}


def _imported(command: str) -> click.Command:
    module, _, name = COMMANDS[command][0].partition(":")
    found: click.Command = getattr(import_module(module), name)
    return found


def _close_output() -> None:
    """Let what is still buffered go nowhere: the interpreter would complain of it when it ends."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(charrnn.__version__, prog_name="charrnn")
def cli() -> None:
    """Train a character-level recurrent network on your own text, on the laptop that you have, and
    let it write.

    \b
    Examples:
      charrnn train                        learn from the plays that ship
      charrnn train book.txt --hidden 512  learn from a text of yours
      charrnn sample --prime "KING:"       let the newest run write
    """


def main() -> None:
    """The entry point of the program; ends the process."""
    for stream in (sys.stdout, sys.stderr):
        # a character that the terminal's encoding lacks is shown as an escape; it must not end the
        # program
        with contextlib.suppress(AttributeError, ValueError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        cli(prog_name="charrnn")
    except (KeyboardInterrupt, OSError) as error:  # from outside of a command, such as its help
        sys.exit(report(error))
    finally:
        gc.freeze()  # nothing is searched for garbage when the interpreter ends: 0.15 s


if __name__ == "__main__":
    main()
