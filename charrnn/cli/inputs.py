"""What is given to the commands that train: settings by preset, file and flags, and a text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from charrnn.cli import terminal
from charrnn.cli.kernel_loading import load_kernels
from charrnn.cli.options import Command, GroupedOption, options_for
from charrnn.config.files import CONFIGS, Others, of_kind, preset, read_settings
from charrnn.config.settings import RUN, CorpusConfig, ModelConfig, TrainConfig
from charrnn.errors import ConfigError

if TYPE_CHECKING:
    from charrnn.text.corpus import Corpus

COMMON_KEYS: Others = {"text": (str, list), "out": str, "threads": int, "quiet": bool, "json": bool}
"""What a settings file may hold beside the configurations' fields."""


def option(flag: str, help: str, **kwargs: Any) -> Callable[[Command], Command]:
    """A flag in the help's last group; None where it is not given."""
    return click.option(
        flag, cls=GroupedOption, help=help, **{"group": RUN, "default": None, **kwargs}
    )


def setting_options(command: Command) -> Command:
    """Adds every setting as a flag, and --preset and --config."""
    decorators = (
        options_for(CorpusConfig),
        options_for(ModelConfig, without=("vocab_size",)),
        options_for(TrainConfig),
        option(
            "--preset",
            "Classic settings by name, or a TOML file; --config and flags win.",
            metavar="NAME|FILE",
        ),
        option(
            "--config",
            "TOML file with settings, named like the flags; flags win.",
            type=click.Path(),
            metavar="FILE",
        ),
    )
    for decorate in reversed(decorators):
        command = decorate(command)
    return command


def merged_settings(
    ctx: click.Context, flags: dict[str, Any], others: Others
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What stands in preset and file, and that with the flags of the command line over it. `others`
    as for `read_settings`.
    """
    settings = preset(flags["preset"], others) if flags["preset"] is not None else {}
    if flags["config"] is not None:
        settings |= read_settings(flags["config"], others)
    # a flag that was not given is None; of the switches, which a file cannot hold, False
    typed = {
        name: value
        for name, value in flags.items()
        if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE
    }
    return settings, {**settings, **typed}


def configurations_among(settings: dict[str, Any]) -> dict[str, Any]:
    """Those of the settings that belong to the three configurations, checked: what is wrong is told
    before anything is read.
    """
    for kind in CONFIGS:
        kind(**of_kind(kind, settings))
    return {name: value for kind in CONFIGS for name, value in of_kind(kind, settings).items()}


def precision_kernels(precisions: Iterable[str]) -> list[str]:
    """Names for `load_kernels` of what training in these precisions needs beside the rest."""
    if "bf16" not in precisions:
        return []
    from charrnn.compiler.bfloat16 import check_bf16

    check_bf16()
    return ["bf16-training"]


def texts(settings: dict[str, Any], where: str | None) -> tuple[str, ...]:
    """The text that a settings file names, one path or several."""
    named = settings.get("text", [])
    named = [named] if isinstance(named, str) else named
    if not all(isinstance(name, str) for name in named):
        raise ConfigError(f"{where}: text must be a path, or a list of paths")
    return tuple(named)


def read_text(
    text: Sequence[str], config: CorpusConfig, quiet: bool = False, **options: Any
) -> Corpus:
    """Read a text, with a bar where that takes long; options as for `Corpus.read`."""
    from charrnn.compiler.compiling import LARGE_TEXTS
    from charrnn.text.corpus import Corpus
    from charrnn.text.scanned import can_scan
    from charrnn.text.sources import find

    if can_scan(find(text)[0], config):
        load_kernels(LARGE_TEXTS, quiet=quiet)
    with terminal.progress_bar("reading", quiet=quiet) as bar:
        return Corpus.read(text, config, progress=bar, **options)
