"""The group `charrnn`, and the one place where an error becomes text and an exit status.

0 success 1 error 2 wrong flag or setting 129 terminal closed 130 interrupted 141 output pipe closed
143 terminated
"""

import contextlib
import gc
import os
import re
import sys
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

import click

import charrnn
from charrnn.cli.signals import ENDING, Interrupted, end_silently, interruptions
from charrnn.cli.terminal import (
    PARAMETER,
    is_terminal,
    one_line,
    print_error,
    say,
    width_of,
    wrapped,
)
from charrnn.errors import CharrnnError, ConfigError

COMMANDS = {
    "check": ("charrnn.cli.check:check", "Look at a text before training on it."),
    "train": ("charrnn.cli.train:train", "Train a network on a text, or resume a run."),
    "watch": ("charrnn.cli.watch:watch", "Watch a run that is trained in another terminal."),
    "sample": ("charrnn.cli.sample:sample", "Generate text with a trained network."),
    "write": ("charrnn.cli.write:write", "Write a text together with a network."),
    "serve": ("charrnn.cli.serve:serve", "Serve a page to write on, and an HTTP interface."),
    "eval": ("charrnn.cli.eval:eval_", "Measure how well a network predicts a text."),
    "overlap": ("charrnn.cli.overlap:overlap_", "Find what a text shares with a corpus."),
    "score": ("charrnn.cli.score:score", "Show how surprising every character of a text is."),
    "report": ("charrnn.cli.report:report_", "Tell the story of a run as a web page."),
    "inspect": ("charrnn.cli.inspect:inspect", "Show what a network computes as it reads."),
    "log": ("charrnn.cli.log:log", "Show how a run has learned: its losses."),
    "compare": (
        "charrnn.cli.compare:compare",
        "Train several configurations and rank them.",
    ),
    "tune": ("charrnn.cli.tune:tune", "Search the settings that suit a text best."),
    "lr-find": ("charrnn.cli.lr_find:lr_find_", "Find a learning rate for a text."),
    "export": ("charrnn.cli.export:export_", "Export to PyTorch, ONNX or a web page."),
    "bench": ("charrnn.cli.bench:bench", "Measure how fast this machine trains and samples."),
    "info": ("charrnn.cli.info:info", "Show what a checkpoint contains."),
    "compile": ("charrnn.cli.compile:compile_", "Compile beforehand, for an image or a cluster."),
    "data": ("charrnn.cli.data:data", "List and download texts to train on."),
}
"""Name -> its module and function, and its line in the help. Commands are imported only when
called, so that `--help` is quick.
"""

SHARED = ("train", "compare", "tune")
"""Commands that mpiexec starts on several processes, of which only the first one says anything."""
USAGE, INTERRUPTED, BROKEN_PIPE = 2, 130, 141

RENAMED = {
    **{"streams": "--count", "duration": "--for", "folder": "--out"},
    **{"weights": "--ensemble", "own_texts": "--text"},
}
"""Library parameters whose flag has another name; a command's own flag of that name wins."""


_WRONG_VALUE = re.compile(r"Invalid value for '(\S+)': (.+) is not (?:in the range|a valid) (.+)")
_WANTED = {
    r"^integer.*": "a whole number",
    r"^float.*": "a number",
    r"^(.+)<=x<=(.+)$": r"\1 to \2",
    r"^x>=(.+)$": r"at least \1",
}
"""What click says of a value, and what charrnn's own settings say."""


class Help(click.HelpFormatter):
    """Help that fits a terminal of fewer than 50 columns, too."""

    def __init__(self, *_: Any, **__: Any) -> None:
        super().__init__(width=min(80, width_of(sys.stdout)) - 2)

    def write_dl(self, rows: Any, col_max: int = 30, col_spacing: int = 2) -> None:
        """Terms beside their texts; in a narrow terminal a long term has a line of its own."""
        super().write_dl(rows, col_max if self.width > 58 else self.width // 3, col_spacing)

    def getvalue(self) -> str:
        """The help; its examples, which click leaves as they are, are wrapped at words."""
        return wrapped(super().getvalue(), width_of(sys.stdout))


click.Context.formatter_class = Help


class LazyGroup(click.Group):
    """A group that imports a command when it is called and turns errors into one line and an exit
    status.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order in which people use them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return the command; None if there is no such name."""
        return _imported(cmd_name) if cmd_name in COMMANDS else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands' lines from the table, so that no command is imported."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, about) for name, (_, about) in COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the words name; a `UsageError` says which one may be meant."""
        is_wrong = args[0] not in COMMANDS and not args[0].startswith("-")
        if is_wrong and not ctx.resilient_parsing:  # as when a shell completes
            from charrnn.checkpoint.paths import BEST, holds_run
            from charrnn.config.suggestions import did_you_mean  # slows each start by 12 ms
            from charrnn.runtime.files import exists
            from charrnn.runtime.shell import quoted

            hint = did_you_mean(args[0], COMMANDS) or "; charrnn --help lists the commands"
            if args[0] and exists(args[0]):
                path = quoted(Path(args[0]))
                hint = f"; to train on this text: charrnn train {path}"
                if args[0].endswith(Path(BEST).suffix) or holds_run(Path(args[0])):
                    hint = f"; to write with this network: charrnn sample {path}"
            raise click.UsageError(f"there is no command {args[0]!r}{hint}", ctx)
        return super().resolve_command(ctx, args)

    def make_context(self, *arguments: Any, **extra: Any) -> click.Context:
        """Read the group's own flags; its help can meet a closed pipe or a signal, too."""
        try:
            return super().make_context(*arguments, **extra)
        except click.exceptions.NoArgsIsHelpError:
            raise
        except (KeyboardInterrupt, OSError, click.UsageError) as error:
            sys.exit(report(error))

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; an exception becomes one line on stderr and an exit status."""
        try:
            with interruptions() as check:
                result = super().invoke(ctx)
                check()
            sys.stdout.flush()
            return result
        except click.exceptions.NoArgsIsHelpError:
            raise
        except (
            CharrnnError,
            KeyboardInterrupt,
            MemoryError,
            OSError,
            click.UsageError,
        ) as error:
            ctx.exit(report(error, ctx.invoked_subcommand or ""))


def report(error: BaseException, command: str = "") -> int:
    """Print an error that a user of this command can cause, as one line on stderr; return the exit
    status.
    """
    if isinstance(error, KeyboardInterrupt):
        return error.status if isinstance(error, Interrupted) else INTERRUPTED
    _settle(sys.stdout)
    if isinstance(error, BrokenPipeError):
        _settle(sys.stderr)
        return BROKEN_PIPE
    with contextlib.suppress(OSError):  # nobody can be told
        print_error(_message(error, command))
    _settle(sys.stderr)
    return USAGE if isinstance(error, ConfigError | click.UsageError) else 1


def _message(error: BaseException, command: str) -> str:
    if isinstance(error, OSError):
        place = f"{error.filename}: " if error.filename else ""
        return f"{place}{error.strerror or error}; check the disk and the file's permissions"
    if isinstance(error, MemoryError):
        reason = f" ({error})" if str(error) else ""
        return f"out of memory{reason}; use a smaller network or batch, or a shorter text"
    if isinstance(error, click.UsageError):
        return _usage_message(error)
    return with_flags(str(error), command)


def _usage_message(error: click.UsageError) -> str:
    """What is wrong with the command line; for a wrong flag, which one may be meant."""
    if isinstance(error, click.NoSuchOption) and error.ctx is not None:
        from charrnn.config.suggestions import did_you_mean

        flags = [flag for option in error.ctx.command.params for flag in option.opts]
        hint = did_you_mean(error.option_name, flags)
        hint = hint or f"; {error.ctx.command_path} --help lists the options"
        return f"there is no option {error.option_name}{hint}"
    message = " ".join(error.format_message().split()).removesuffix(".")
    if wrong := _WRONG_VALUE.fullmatch(message):
        flag, value, wanted = wrong.groups()
        for pattern, words in _WANTED.items():
            wanted = re.sub(pattern, words, wanted)
        return f"{flag} must be {wanted}, not {value}"
    return message[:1].lower() + message[1:]


def with_flags(message: str, command: str = "") -> str:
    """The message with its parameters in backticks replaced by flags: the command's own if it has
    one, else any other command's. Anything else in backticks stays as it is.
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
    result: click.Command = getattr(import_module(module), name)
    return result


def _settle(stream: Any) -> None:
    """Write what a stream has buffered, or discard it: the interpreter would fail to at exit."""
    try:
        stream.flush()
    except (OSError, ValueError):
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(charrnn.__version__, prog_name="charrnn")
def cli() -> None:
    """Train a character-level recurrent neural network on your own text, on an ordinary laptop, and
    generate text with it.

    \b
    Examples:
      charrnn train                        train on the bundled plays
      charrnn train book.txt --for 1h      train on your own text
      charrnn sample --prime "KING:"       write with the newest run
    """


def main() -> None:
    """The entry point of the program; ends the process."""
    _open_streams()
    if sys.argv[1:2] and sys.argv[1] in SHARED:
        from charrnn.runtime.mpi import launched_rank

        if launched_rank():
            sys.stdout = sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115
    for stream in (sys.stdout, sys.stderr):
        # A character that the terminal's encoding lacks is shown as an escape instead of raising.
        # Files and pipes get UTF-8, which can hold them all, whatever the locale (in Windows a code
        # page).
        with contextlib.suppress(AttributeError, ValueError):
            encoding = None if is_terminal(stream) else "utf-8"
            stream.reconfigure(encoding=encoding, errors="backslashreplace")  # type: ignore[union-attr]
    _say_what_is_not_shared(sys.argv[1:2])
    # NumPy's BLAS would start a thread per processor, and say so if it cannot
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    warnings.showwarning = _show_warning
    try:
        with interruptions():
            cli(prog_name="charrnn")
    except SystemExit as end:
        if end.code:  # else a stream that cannot be written would change the status to 120
            _settle(sys.stdout)
            _settle(sys.stderr)
        _end_ranks(end.code)
        raise
    except (KeyboardInterrupt, OSError) as error:  # raised outside a command
        status = report(error)
        _end_ranks(status)
        sys.exit(status)
    finally:
        end_silently()
        gc.freeze()  # no garbage collection at exit: saves 0.15 s


def _end_ranks(status: object) -> None:
    """End by the signal that this exit status stands for, if other ranks wait for this one."""
    if sys.argv[1:2] and sys.argv[1] in SHARED and isinstance(status, int):
        from charrnn.runtime.mpi import end_by

        if status - 128 in ENDING:
            end_by(status - 128)


def _say_what_is_not_shared(words: list[str]) -> None:
    """Under mpiexec, that each process does all of a command that is not in `SHARED`."""
    from charrnn.runtime.mpi import launched_rank, launched_size

    is_alone = words and words[0] in COMMANDS.keys() - set(SHARED)
    if is_alone and launched_size() > 1 and launched_rank() == 0:
        say(
            f"note: each of the {launched_size()} processes does all of charrnn {words[0]}: "
            f"only {', '.join(SHARED[:-1])} and {SHARED[-1]} share their work"
        )


def _open_streams() -> None:
    """Give standard streams that are closed (in daemons, under pythonw, after `>&-`) the null
    device. Otherwise the next file opened would get their number, and what goes to the error
    stream None is printed on the output.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            if number:
                setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115
            else:  # stays None, which says that there is no input; its number is taken
                os.open(os.devnull, os.O_RDONLY)


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    """Print a warning of the library as one line."""
    say(f"note: {one_line(str(message))}")


if __name__ == "__main__":
    main()
