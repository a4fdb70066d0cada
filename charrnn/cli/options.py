"""Flags, derived from the dataclasses in `charrnn.config`, and the request that they make together
with a preset and a settings file.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import click
from click.core import ParameterSource
from click.shell_completion import CompletionItem

from charrnn.cli.terminal import PARAMETER
from charrnn.config.fields import Settings, Value, settings_of
from charrnn.config.files import CONFIGS, SETTINGS, Others, preset, presets, read_settings
from charrnn.config.settings import CorpusConfig, ModelConfig
from charrnn.config.training import RUN, TrainConfig
from charrnn.errors import ConfigError
from charrnn.runtime.threads import check_threads

PATH = click.Path(readable=False)
"""A path, which shells complete; what is wrong with it is left to the library to say."""
HELP_ALL = "charrnn.help_all"
"""The key of --help-all in `click.Context.meta`."""
Command = TypeVar("Command", bound=Callable[..., Any])

COMMON_KEYS: Others = {
    **dict.fromkeys(("text", "validation", "test"), (str, list)),
    **{"out": str, "threads": int, "quiet": bool, "json": bool, "for": str, "verbose": bool},
}
"""Keys that a settings file may contain in addition to settings."""


def offer(words: Iterable[str], or_paths: bool = False) -> Callable[..., list[CompletionItem]]:
    """What a shell completes an option's value with: the words that begin as it does, or paths."""

    def complete(
        ctx: click.Context, parameter: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        items = [CompletionItem(word) for word in words if word.startswith(incomplete)]
        return items or [CompletionItem(incomplete, type="file")] * or_paths

    return complete


class GroupedOption(click.Option):
    """An option that is listed under a heading in the help."""

    def __init__(self, *args: Any, group: str = RUN, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.group = group


class GroupedCommand(click.Command):
    """A command whose --help shows only the options in `brief`, those that most people need, each
    with a short help text, and whose --help-all shows all options under their headings.
    """

    def __init__(self, *args: Any, brief: Mapping[str, str], **kwargs: Any) -> None:
        kwargs["context_settings"] = {
            "help_option_names": ["-h", "--help"],
            "max_content_width": 80,
        }
        super().__init__(*args, **kwargs)
        self.brief = {**brief, "--help-all": "Show every option.", "--help": "Show this."}

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the brief options, or all groups in the order of their first options; options
        without a group join the last one.
        """
        options = {
            option.opts[-1]: option
            for option in self.get_params(ctx)
            if isinstance(option, click.Option) and not option.hidden
        }
        groups: dict[str, list[tuple[str, str]]] = {}
        if ctx.meta.get(HELP_ALL):
            for option in options.values():
                record = option.get_help_record(ctx)
                assert record is not None
                groups.setdefault(getattr(option, "group", RUN), []).append(record)
        else:
            groups["Options"] = [(_flags(options[flag]), text) for flag, text in self.brief.items()]
        for group, records in groups.items():
            with formatter.section(group):
                formatter.write_dl(records, col_max=24)


def _flags(option: click.Option) -> str:
    """The flags of an option and a short placeholder for its value."""
    name = option.metavar if option.metavar and len(option.metavar) < 12 else None
    kind = name or {"integer": "N", "float": "X"}.get(option.type.name, option.type.name.upper())
    flags = ", ".join(option.opts)
    return flags if option.is_flag else f"{flags} {kind}"


def _show_all(ctx: click.Context, option: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:  # as when a shell completes
        ctx.meta[HELP_ALL] = True
        click.echo(ctx.get_help())
        ctx.exit()


def decoding_options(command: Command) -> Command:
    """Adds --encoding, --encoding-errors and --unknown: how a TEXT of its own is read."""
    for add in (
        click.option(
            "--unknown",
            type=click.Choice(["error", "skip", "nearest"]),
            default="error",
            show_default=True,
            help="How to treat characters that are not in the vocabulary; if it has an unknown "
            "symbol, error maps them to it.",
        ),
        click.option(
            "--encoding-errors",
            type=click.Choice(["strict", "replace", "ignore"]),
            help="How to treat bytes of TEXT that are not in the encoding. [default: as the run]",
        ),
        click.option("--encoding", help="Character encoding of TEXT. [default: the run's]"),
    ):
        command = add(command)
    return command


def check_decoding(
    texts: Sequence[str], encoding: str | None, encoding_errors: str | None, unknown: str
) -> None:
    """`UsageError` if one of `decoding_options` is given without a TEXT."""
    if not texts and (encoding or encoding_errors or unknown != "error"):
        raise click.UsageError(
            "--encoding, --encoding-errors and --unknown apply only to a TEXT: the run's own text "
            "is read as in training"
        )


help_all_option = click.option(
    "--help-all",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_all,
    help="Show every option.",
)


def option(flag: str, help: str, **attributes: Any) -> Callable[[Command], Command]:
    """A flag under a heading in the help, by default the last one."""
    return click.option(flag, cls=GroupedOption, help=help, **attributes)


def for_option(help: str) -> Callable[[Command], Command]:
    """The flag that gives the length of a run as a time."""
    return option("--for", help, metavar="TIME")


def json_option(help: str = "Print one JSON object.") -> Callable[[Command], Command]:
    """The flag for results as JSON."""
    return click.option("--json", "as_json", is_flag=True, help=help)


threads_option = click.option(
    "--threads", type=click.IntRange(min=1), help="Threads to use. [default: all processors]"
)


def flag_of(name: str) -> str:
    """The flag of a setting."""
    return "--" + name.replace("_", "-")


def with_own_flags(text: str) -> str:
    """The text with settings in backticks as flags."""
    return PARAMETER.sub(lambda match: flag_of(match[1]), text)


def options_for(
    kind: type[Settings], without: Collection[str] = (), repeated: Collection[str] = ()
) -> Callable[[Command], Command]:
    """A decorator that adds a flag for every setting; a flag that was not given passes None.

    repeated: flags that may be given several times, with one value of the setting each.
    """

    def decorate(command: Command) -> Command:
        for setting in reversed(settings_of(kind).values()):
            flag, default = flag_of(setting.name), f"  [default: {setting.default}]"
            is_bool, is_list = setting.kind is bool, setting.kind is tuple
            is_repeated = setting.name in repeated
            add = option(
                f"{flag}/--no-{flag[2:]}" if is_bool else flag,
                with_own_flags(setting.help)
                + (" May be repeated." if is_repeated else "")
                + ("" if setting.default in (None, ()) or is_bool else default),
                group=setting.group,
                type=str if is_list else setting.kind,
                multiple=is_list or is_repeated,
                default=None,
                metavar="|".join(setting.choices) or None,
                shell_complete=offer(setting.choices) if setting.choices else None,
            )
            if setting.name not in without:
                command = add(command)
        return command

    return decorate


def part_option(part: str, help: str) -> Callable[[Command], Command]:
    """A flag for the files of one part of the text; it may be repeated."""
    return option(
        f"--{part}",
        f"File, folder or glob: {help}",
        group=settings_of(CorpusConfig)["encoding"].group,
        multiple=True,
        type=click.Path(readable=False),
        metavar="FILE",
    )


def setting_options(without: Collection[str] = ()) -> Callable[[Command], Command]:
    """A decorator that adds every setting but these as a flag, and --preset and --config."""
    added = (
        option(
            "--config",
            "TOML file of settings, named like the flags; flags win.",
            type=click.Path(readable=False),
            metavar="FILE",
        ),
        option(
            "--preset",
            "Settings of a classic program by name, or a TOML file; --config and flags win.",
            metavar="NAME|FILE",
            shell_complete=offer(presets(), or_paths=True),
        ),
        options_for(TrainConfig, without),
        options_for(ModelConfig, {"vocab_size", *without}),
        options_for(CorpusConfig, without),
        part_option("test", "test text, instead of --test-fraction."),
        part_option("validation", "validation text, instead of --val-fraction."),
    )

    def decorate(command: Command) -> Command:
        for add in added:
            command = add(command)
        return command

    return decorate


@dataclass(frozen=True)
class Request:
    """What a preset, a settings file and flags request together.

    `settings` holds the given settings by name; `files` the preset and settings file that were
    read; `parts` the files for validation and test, by the part's name. `duration` is at most so
    long if it was not asked for (`is_at_most`).
    """

    settings: dict[str, Value]
    files: tuple[str, ...]
    text: tuple[str, ...]
    parts: dict[str, tuple[str, ...]]
    out: str | None
    threads: int | None
    init_from: str | None
    tensorboard: str | None
    duration: str | None
    quiet: bool
    verbose: bool
    as_json: bool
    is_at_most: bool = False

    @property
    def training(self) -> TrainConfig:
        """The training configuration, with defaults for settings that were not given."""
        return TrainConfig.of(self.settings)


EXCLUDED = {"validation": ("val_fraction", "test_fraction"), "test": ("test_fraction",)}
"""The settings that also split the text, by the part that has files."""


def check_parts(parts: Mapping[str, Sequence[str]], settings: Mapping[str, Any]) -> None:
    """`ConfigError` if a part of the text is given both as files and as a fraction."""
    for part, names in EXCLUDED.items():
        for name in names:
            if parts[part] and settings.get(name):
                raise ConfigError(
                    f"`{part}` and `{name}` both split the text; leave one of them out"
                )


def read_request(
    ctx: click.Context, flags: dict[str, Any], others: Others, ignored: Collection[str] = ()
) -> Request:
    """Merge a preset, a settings file and the flags of the command line; later ones win. A wrong
    setting raises `ConfigError` before anything else is read.

    `others` are the keys in files that are not settings; keys in `ignored` are skipped.
    """
    merged: dict[str, Any] = {}
    files = []
    for name, read in (("preset", preset), ("config", read_settings)):
        if flags[name] is not None:
            files.append(flags[name])
            merged |= read(flags[name], others)
    merged = {name: value for name, value in merged.items() if name not in ignored}
    given = {
        name: value
        for name, value in flags.items()
        # click 8.2 says so of no words, too
        if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE and value != ()
    }
    if length := given.keys() & {"steps", "epochs"}:  # a file's is another one
        own_time = set() if "each" in ctx.params else {"for"}  # in tune, of all trials together
        for name in ({"steps", "epochs", "pace"} | own_time) - length:
            merged.pop(name, None)
    for part in EXCLUDED.keys() & given.keys():
        for name in EXCLUDED[part]:
            merged.pop(name, None)
    merged |= given
    paths: dict[str, tuple[str, ...]] = {}
    for name in ("text", "validation", "test"):
        value = merged.get(name, ())
        paths[name] = (value,) if isinstance(value, str) else tuple(value)
        if not all(isinstance(path, str) for path in paths[name]):
            raise ConfigError(f"{' and '.join(files)}: {name} must be a path or a list of paths")
    text = paths.pop("text")
    check_parts(paths, merged)
    for kind in CONFIGS:
        kind.of(merged)
    check_threads(merged.get("threads"))
    return Request(
        settings={name: merged[name] for name in SETTINGS if name in merged},
        files=tuple(files),
        text=text,
        parts=paths,
        out=merged.get("out"),
        threads=merged.get("threads"),
        init_from=merged.get("init_from"),
        tensorboard=merged.get("tensorboard"),
        duration=merged.get("for"),
        quiet=merged.get("quiet", False),
        verbose=merged.get("verbose", False),
        as_json=merged.get("json", False),
    )
