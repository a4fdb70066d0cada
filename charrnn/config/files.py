"""Settings in TOML files: one's own, and the presets that come with the package, which are files of
the same kind.

    settings = charrnn.preset("char-rnn")
    corpus_config, model_config, train_config = charrnn.configs_of(settings)

A file is flat and holds names and values as in `charrnn.config`, with underscores or dashes:
`batch_size = 50`.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import fields
from importlib.resources import files
from pathlib import Path
from typing import Any

from charrnn.config.fields import Settings
from charrnn.config.settings import CorpusConfig, ModelConfig, TrainConfig
from charrnn.errors import ConfigError

CONFIGS: tuple[type[CorpusConfig] | type[ModelConfig] | type[TrainConfig], ...] = (
    CorpusConfig,
    ModelConfig,
    TrainConfig,
)

Others = Mapping[str, type | tuple[type, ...]]
"""Keys beside those of the configurations, and the types that each may have."""


def names_of(settings: type[Settings]) -> list[str]:
    """The names of the fields, in order."""
    return [f.name for f in fields(settings)]  # type: ignore[arg-type]


def of_kind(settings: type[Settings], values: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the values that are fields of this configuration."""
    return {name: values[name] for name in names_of(settings) if name in values}


def configs_of(settings: Mapping[str, Any]) -> tuple[CorpusConfig, ModelConfig, TrainConfig]:
    """The three configurations with these settings, and defaults for the rest; `ConfigError` for
    one that does not fit.
    """
    _check_names(settings, {}, "the settings")
    corpus, model, training = (of_kind(kind, settings) for kind in CONFIGS)
    return CorpusConfig(**corpus), ModelConfig(**model), TrainConfig(**training)


def presets() -> list[str]:
    """The names of the presets that come with the package."""
    return sorted(
        path.name.removesuffix(".toml")
        for path in _preset_files().iterdir()
        if path.name.endswith(".toml")
    )


def preset(name: str, others: Others | None = None) -> dict[str, Any]:
    """The settings of a preset, or of a TOML file of one's own, by name; `ConfigError` if there is
    neither.

    `others` as for `read_settings`.
    """
    if name in presets():
        text = _preset_files().joinpath(f"{name}.toml").read_text(encoding="utf-8")
        return _settings(text, f"preset {name}", others or {})
    if name.endswith(".toml") or Path(name).is_file():
        return read_settings(name, others)
    raise ConfigError(
        f"there is no preset {name!r:.60}; there are: {', '.join(presets())}, or name a TOML file"
    )


def read_settings(path: str | Path, others: Others | None = None) -> dict[str, Any]:
    """The settings in a flat TOML file, by name with underscores, types and ranges checked;
    `ConfigError` names the file.

    `others` are keys that may stand there beside the settings, and their types.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from None
    except ValueError as error:
        raise ConfigError(f"{path}: not TOML: {' '.join(str(error).split())}") from None
    return _settings(text, str(path), others or {})


def _preset_files() -> Any:
    return files("charrnn.config").joinpath("presets")


def _settings(text: str, where: str, others: Others) -> dict[str, Any]:
    try:
        found = {name.replace("-", "_"): value for name, value in tomllib.loads(text).items()}
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{where}: not TOML: {' '.join(str(error).split())}") from None
    _check_names(found, others, where)
    for kind in CONFIGS:
        try:
            kind.from_mapping(of_kind(kind, found), where)
        except ConfigError as error:
            raise ConfigError(f"{where}: {error}") from None
    return found


def _check_names(found: Mapping[str, Any], others: Others, where: str) -> None:
    """`ConfigError` for a name that is no setting, with the nearest one, and for a value of
    `others` of another type.
    """
    known = [name for kind in CONFIGS for name in names_of(kind) if name != "vocab_size"]
    for name, value in found.items():
        if name in others:
            if not isinstance(value, others[name]) or isinstance(value, bool) != (
                others[name] is bool
            ):
                raise ConfigError(f"{where}: {name} cannot be {value!r:.60}")
        elif name not in known:
            near = difflib.get_close_matches(name, [*known, *others], 1)
            hint = f"did you mean {near[0]}?" if near else "charrnn train --help lists the settings"
            raise ConfigError(f"{where}: there is no setting {name!r}; {hint}")
