"""Settings in TOML files: the presets that come with the package, and your own files, which work
the same way.

    settings = charrnn.preset("char-rnn")
    corpus_config, model_config, train_config = charrnn.configs_of(settings)

A file is a flat list of the settings in `charrnn.config`, named with underscores or dashes:
`batch_size = 50`.
"""

import os
import tomllib
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from charrnn.config.fields import Setting, Settings, Value, settings_of
from charrnn.config.settings import CorpusConfig, ModelConfig
from charrnn.config.suggestions import did_you_mean
from charrnn.config.training import TrainConfig
from charrnn.errors import ConfigError

CONFIGS = CorpusConfig, ModelConfig, TrainConfig
SETTINGS: Mapping[str, Setting] = {
    name: setting
    for kind in CONFIGS
    for name, setting in settings_of(kind).items()
    if name != "vocab_size"
}
"""Every setting that a user can change, by name; the text determines the size of the vocabulary."""

Others = Mapping[str, type | tuple[type, ...]]
"""Keys that a file may contain in addition to settings, and their types."""

MOST_DOTS = 300
"""Dots in a line of a settings file: a key of n parts takes tomllib a time that grows with n^2."""

_MOST = 1_000_000
_PRESETS = files("charrnn.config").joinpath("presets")


def configs_of(settings: Mapping[str, Any]) -> tuple[CorpusConfig, ModelConfig, TrainConfig]:
    """The three configurations with these settings, and defaults for the rest; `ConfigError` for an
    invalid one.
    """
    check_names(settings)
    return CorpusConfig.of(settings), ModelConfig.of(settings), TrainConfig.of(settings)


def values_of(*configs: Settings) -> dict[str, Value]:
    """The settings in these configurations, by name; the inverse of `configs_of`."""
    return {
        name: getattr(config, name)
        for config in configs
        for name in settings_of(type(config))
        if name != "vocab_size"
    }


def presets() -> list[str]:
    """The names of the presets that come with the package."""
    names = (path.name for path in _PRESETS.iterdir())
    return sorted(name.removesuffix(".toml") for name in names if name.endswith(".toml"))


def preset(name: str | Path, others: Others | None = None) -> dict[str, Any]:
    """The settings of a preset by name or of a TOML file by path; `ConfigError` if neither exists.
    `others` as in `read_settings`.
    """
    name = str(name)
    if name in presets():
        text = _PRESETS.joinpath(f"{name}.toml").read_text(encoding="utf-8")
        return _parsed(text, f"preset {name}", others)
    if name.endswith(".toml") or os.path.isfile(name):  # noqa: PTH113  # of any name
        return read_settings(name, others)
    hint = did_you_mean(name, presets()) or f"; use {', '.join(presets())}"
    raise ConfigError(f"there is no preset {name!r:.60}{hint} (or give the path of a TOML file)")


def read_settings(path: str | Path, others: Others | None = None) -> dict[str, Any]:
    """The settings in a flat TOML file, by name with underscores, with types and ranges checked;
    `ConfigError` names the file. `others` are additional keys that it may contain, with their
    types.
    """
    try:
        with Path(path).open("rb") as file:
            data = file.read(_MOST + 1)  # a device may have no end
        if len(data) > _MOST:
            raise ConfigError(f"{path}: more than {_MOST:,} bytes, so not a file of settings")
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from None
    except ValueError as error:
        raise ConfigError(f"{path}: not TOML: {' '.join(str(error).split())}") from None
    return _parsed(text, str(path), others)


def check_names(values: Mapping[str, Any], others: Others | None = None) -> None:
    """`ConfigError` for an unknown name, suggesting the nearest one, and for a value of the wrong
    type among `others`.
    """
    others = others or {}
    for name, value in values.items():
        if name in others:
            fits = isinstance(value, bool) == (others[name] is bool)
            if not (fits and isinstance(value, others[name])):
                raise ConfigError(f"{name} cannot be {value!r:.60}")
        elif name not in SETTINGS:
            hint = did_you_mean(name, [*SETTINGS, *others])
            hint = hint or "; charrnn train --help-all lists the settings"
            raise ConfigError(f"there is no setting {name!r:.60}{hint}")


def parse_toml(text: str) -> dict[str, Any]:
    """The contents of a TOML file that may come from anyone; `ValueError` or `RecursionError` if it
    is not TOML, or has keys for which tomllib would take hours.
    """
    if any(line.count(".") > MOST_DOTS for line in text.splitlines()):
        raise ValueError(f"a line with more than {MOST_DOTS} dots")
    return tomllib.loads(text)


def _parsed(text: str, where: str, others: Others | None) -> dict[str, Any]:
    try:
        settings = {name.replace("-", "_"): value for name, value in parse_toml(text).items()}
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{where}: not TOML: {' '.join(str(error).split())}") from None
    try:
        check_names(settings, others)
        for kind in CONFIGS:
            kind.of(settings)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None
    return settings
