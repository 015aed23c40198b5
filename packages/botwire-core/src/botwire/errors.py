"""Every error BotWire raises, with its HTTP status and its stable code.

    BotWireError                       500  BW-500           something BotWire did not expect
    ├── InvalidRequest (ValueError)    422  BW-422-request   an argument that cannot be right
    │   ├── InvalidKey                 422  BW-422-key       a key or namespace outside the rules
    │   ├── InvalidValue               422  BW-422-value     not JSON, or JSON that would change
    │   └── IdempotencyMismatch        422  BW-422-idempotency
    ├── WrongType (TypeError)          409  BW-409-type      increment of a text, append to a number
    ├── NotFound (KeyError)            404  BW-404-key
    ├── Conflict                       412  BW-412-version   the version is not the one asked for
    ├── TooLarge                       413  BW-413-size      a value or request above the limit
    ├── Unauthorized                   401  BW-401-key
    ├── Forbidden                      403  BW-403-key
    ├── QuotaExceeded                  429  BW-429-quota
    ├── Unavailable (ConnectionError)  503  BW-503-unavailable   it may work later
    │   ├── Unreachable                     BW-503-unreachable   no answer from the server
    │   ├── Timeout (TimeoutError)     504  BW-504-timeout       no answer in time
    │   └── Busy                       503  BW-503-busy          the store stayed locked too long
    ├── StorageFull                    507  BW-507-storage
    └── Closed                              BW-closed            the Memory was closed

An error says what happened, why, the current state and what to do next. The same fields travel as
RFC 9457 problem+json over HTTP and stand on the exception in Python. `retryable` tells whether the
same call can succeed later without a change.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

__all__ = [
    "BotWireError",
    "Busy",
    "Closed",
    "Conflict",
    "Forbidden",
    "IdempotencyMismatch",
    "InvalidKey",
    "InvalidRequest",
    "InvalidValue",
    "NotFound",
    "QuotaExceeded",
    "StorageFull",
    "Timeout",
    "TooLarge",
    "Unauthorized",
    "Unavailable",
    "Unreachable",
    "WrongType",
    "from_problem",
]


class BotWireError(Exception):
    """The root of all BotWire errors.

    Args:
        detail: what happened and why, in a sentence.
        hint: what to do next.
        fields: the current state, as plain data; readable as attributes of the error.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "BW-500"
    title: ClassVar[str] = "Unexpected error"
    retryable: ClassVar[bool] = False

    def __init__(self, detail: str, /, *, hint: str = "", **fields: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.hint = hint
        self.fields = fields

    def __str__(self) -> str:
        return f"{self.detail}\n{self.hint}" if self.hint else self.detail

    def __getattr__(self, name: str) -> Any:
        fields = self.__dict__.get("fields", {})
        if name in fields:
            return fields[name]
        raise AttributeError(f"{type(self).__name__} has no field {name!r}")

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.detail, self.hint, self.fields)

    def problem(self) -> dict[str, Any]:
        """The error as RFC 9457 problem details."""
        return {
            "type": f"https://botwire.dev/problems/{self.code}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            "retryable": self.retryable,
            "hint": self.hint,
            **self.fields,
        }


def _rebuild(
    kind: type[BotWireError], detail: str, hint: str, fields: dict[str, Any]
) -> BotWireError:
    return kind(detail, hint=hint, **fields)


class InvalidRequest(BotWireError, ValueError):
    """An argument that cannot be right."""

    status, code, title = 422, "BW-422-request", "Invalid request"


class InvalidKey(InvalidRequest):
    """A key or namespace that is empty, longer than 512 bytes of UTF-8, or holds NUL."""

    code, title = "BW-422-key", "Invalid key or namespace"


class InvalidValue(InvalidRequest):
    """A value that is not JSON or would not come back as it was."""

    code, title = "BW-422-value", "Invalid value"


class IdempotencyMismatch(InvalidRequest):
    """One idempotency key was used for two different requests."""

    code, title = "BW-422-idempotency", "Idempotency key used for another request"


class WrongType(BotWireError, TypeError):
    """The stored value is not of the type the operation works on."""

    status, code, title = 409, "BW-409-type", "Stored value has another type"


class NotFound(BotWireError, KeyError):
    """The key does not exist (any more)."""

    status, code, title = 404, "BW-404-key", "Not found"


class Conflict(BotWireError):
    """The key changed since it was read.

    Fields: `key`, `expected` (the version asked for; 0: must not exist), `current_version` (0 when
    the key does not exist) and `current_value`.
    """

    status, code, title = 412, "BW-412-version", "Version conflict"

    @property
    def current_value(self) -> Any:
        """What the key holds now, or None."""
        from botwire.jsontext import Json, decode  # that room needs the errors first

        value = self.fields.get("current_value")
        return decode(value) if isinstance(value, Json) else value


class TooLarge(BotWireError):
    """A value or request is larger than the server allows."""

    status, code, title = 413, "BW-413-size", "Too large"


class Unauthorized(BotWireError):
    """The server needs an API key, or does not know the one it was given."""

    status, code, title = 401, "BW-401-key", "API key missing or unknown"


class Forbidden(BotWireError):
    """The API key does not allow this."""

    status, code, title = 403, "BW-403-key", "Not allowed with this API key"


class QuotaExceeded(BotWireError):
    """A namespace used up its quota. Fields: `policy`, `limit`, `used`, `reset_s` (seconds)."""

    status, code, title = 429, "BW-429-quota", "Quota used up"


class Unavailable(BotWireError, ConnectionError):
    """The memory cannot be reached or used now."""

    status, code, title = 503, "BW-503-unavailable", "Unavailable"
    retryable = True


class Unreachable(Unavailable):
    """No server answered."""

    code, title = "BW-503-unreachable", "Unreachable"


class Timeout(Unavailable, TimeoutError):
    """No answer came in time; a write may or may not have happened."""

    status, code, title = 504, "BW-504-timeout", "Timed out"


class Busy(Unavailable):
    """Others held the store for longer than a writer waits."""

    code, title = "BW-503-busy", "Busy"


class StorageFull(BotWireError):
    """The disk (or the file's size limit) is used up; nothing was changed."""

    status, code, title = 507, "BW-507-storage", "Storage is full"
    retryable = True


class Closed(BotWireError):
    """The Memory was closed and cannot be used again."""

    code, title = "BW-closed", "Closed"


_by_code: dict[str, type[BotWireError]] = {
    kind.code: kind
    for kind in (
        *(BotWireError, InvalidRequest, InvalidKey, InvalidValue, IdempotencyMismatch, WrongType),
        *(NotFound, Conflict, TooLarge, Unauthorized, Forbidden, QuotaExceeded, Unavailable),
        *(Unreachable, Timeout, Busy, StorageFull, Closed),
    )
}
_by_status: dict[int, type[BotWireError]] = {
    400: InvalidRequest,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: WrongType,
    412: Conflict,
    413: TooLarge,
    422: InvalidRequest,
    429: QuotaExceeded,
    502: Unavailable,
    503: Unavailable,
    504: Timeout,
    507: StorageFull,
}
_envelope = {"type", "title", "status", "detail", "code", "retryable", "hint", "instance"}


def from_problem(status: int, problem: Mapping[str, Any]) -> BotWireError:
    """The exception for a problem+json body, or for a bare status where a proxy answered.

    >>> from_problem(404, {"detail": "no key 'a'", "code": "BW-404-key"})
    NotFound("no key 'a'")
    """
    kind = _by_code.get(str(problem.get("code"))) or _by_status.get(status, BotWireError)
    detail = str(problem.get("detail") or f"the server answered {status}")
    fields = {name: value for name, value in problem.items() if name not in _envelope}
    return kind(detail, hint=str(problem.get("hint") or ""), **fields)
