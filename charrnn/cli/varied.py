"""--vary: a setting and the values that it is to have."""

from __future__ import annotations

from collections.abc import Iterable

import click

from charrnn.config.fields import KIND_NAMES, Setting, Value
from charrnn.config.files import SETTINGS, check_names
from charrnn.errors import ConfigError


def split_by_name(vary: Iterable[str]) -> dict[str, str]:
    """The text of the values by the name of the setting."""
    texts: dict[str, str] = {}
    for text in vary:
        name, _, values = text.partition("=")
        name = name.strip().replace("-", "_")
        if not values:
            raise ConfigError(
                f"--vary {text:.60}: name a setting and its values, such as --vary dropout=0,0.3"
            )
        if name in texts:
            raise ConfigError(f"--vary {name}: named twice; list all its values in one --vary")
        if name in ("seed", "vocab_size"):
            raise ConfigError(
                f"--vary {name}: cannot be varied; --seed or --seeds sets the seeds, and the text "
                "the vocabulary"
            )
        check_names({name: None})
        texts[name] = values
    return texts


def values_of_text(name: str, text: str) -> list[Value]:
    """The values in a text such as 0,0.3,0.5."""
    return [value_of(SETTINGS[name], value.strip()) for value in text.split(",")]


def value_of(setting: Setting, text: str) -> Value:
    """The text as a value of the setting's type and in its range."""
    if text.lower() == "none" and setting.optional:
        return None
    try:
        value = click.types.convert_type(setting.kind).convert(text, None, None)
    except click.BadParameter:
        name = setting.name.replace("_", "-")
        wanted = KIND_NAMES[setting.kind]
        raise ConfigError(f"--vary {name}: {text!r:.40} is not {wanted}") from None
    return setting.checked(value)
