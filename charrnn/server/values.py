"""Values of a request's parameters, checked."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from charrnn.config.suggestions import did_you_mean
from charrnn.server.refusal import Refusal


def check_names(body: Mapping[str, Any], names: Collection[str]) -> None:
    """A `Refusal` if one of the parameters is none of these."""
    for key in body:
        if key not in names:
            hint = did_you_mean(key[:60], names)
            raise Refusal(
                f"there is no parameter {key[:60]!r}{hint}", key[:60], "unknown_parameter"
            )


def of_kind(body: Mapping[str, Any], name: str, kind: type, default: Any) -> Any:
    """A value of this type; null and none at all are the default."""
    value = body.get(name)
    if value is None:
        return default
    if not isinstance(value, kind):
        words = {str: "a string", bool: "true or false", list: "a list", dict: "an object"}
        raise Refusal(f"{name!r} must be {words[kind]}", name, "invalid_type")
    return value


def whole_number(body: Mapping[str, Any], name: str, default: Any, least: int, most: int) -> Any:
    """A whole number in this range; null and none at all are the default."""
    value = body.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int):
        raise Refusal(f"{name!r} must be a whole number", name, "invalid_type")
    if not least <= value <= most:
        found = value if abs(value) < 10**20 else "a number of more than 20 digits"
        raise Refusal(f"{name!r} must be {least} to {most:,}, not {found}", name, "invalid_value")
    return value
