"""What a request gets that is not carried out, in the shape of OpenAI's errors."""

from __future__ import annotations

import re
from typing import Any

from charrnn.errors import one_line

_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}


class Refusal(Exception):
    """A request is refused: with an HTTP status, a message, the parameter that is wrong, a code for
    programs, and after how many seconds another attempt may succeed.
    """

    def __init__(
        self,
        message: str,
        param: str | None = None,
        code: str | None = None,
        *,
        status: int = 400,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message, self.param, self.code = message, param, code
        self.status, self.retry_after = status, retry_after

    @classmethod
    def of(cls, error: Exception) -> Refusal:
        """That for an error of the library, which names parameters in backticks; the `length` is
        that of OpenAI's `max_tokens`.
        """
        message = one_line(error).replace("`length`", "`max_tokens`")
        named = re.search(r"`(\w+)`", message)
        return cls(message.replace("`", "'"), named[1] if named else None, "invalid_value")

    @property
    def headers(self) -> dict[str, str]:
        """More headers of the answer."""
        return {} if self.retry_after is None else {"retry-after": str(self.retry_after)}

    def as_json(self) -> dict[str, Any]:
        """The body of the answer."""
        kind = _TYPES.get(
            self.status, "server_error" if self.status >= 500 else "invalid_request_error"
        )
        return {
            "error": {
                "message": self.message,
                "type": kind,
                "param": self.param,
                "code": self.code,
            }
        }
