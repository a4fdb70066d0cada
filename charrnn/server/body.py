"""The JSON of a request, read strictly."""

from __future__ import annotations

import json
import math
from typing import Any

from charrnn.server.refusal import Refusal


def json_object(body: bytes) -> dict[str, Any]:
    """The JSON object in a body; a `Refusal` for anything else: text that is not UTF-8 or not JSON,
    a name that stands twice in an object, numbers that are not finite or too long, objects inside
    one another too deeply, and halves of characters.
    """
    try:
        value = json.loads(
            body.decode("utf-8"),
            object_pairs_hook=_without_doubles,
            parse_constant=_not_finite,
            parse_float=_finite,
        )
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeDecodeError as error:
        raise _bad(f"it is not UTF-8 at byte {error.start}") from None
    except UnicodeEncodeError:
        raise _bad("a string in it has half a character (a lone surrogate)") from None
    except json.JSONDecodeError as error:
        raise _bad(f"{error.msg} at character {error.pos}") from None
    except RecursionError:
        raise _bad("its lists or objects stand inside one another too deeply") from None
    except ValueError:
        raise _bad("a number in it has too many digits") from None
    if not isinstance(value, dict):
        raise Refusal('the body must be a JSON object, such as {"prompt": "Once"}')
    return value


def _bad(reason: str) -> Refusal:
    return Refusal(f"the body is not JSON that can be read: {reason}", code="invalid_json")


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _bad("a name stands twice in one object")
    return found


def _finite(digits: str) -> float:
    number = float(digits)
    return number if math.isfinite(number) else _not_finite(digits)


def _not_finite(digits: str) -> float:
    raise _bad(f"{digits[:20]} is not a finite number")
