"""What goes back: status, headers and body, as the ASGI front sends them."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from botwire.errors import BotWireError, QuotaExceeded
from botwire.jsontext import write

__all__ = ["Answer", "Headers", "json_answer", "problem_answer"]

Headers = list[tuple[bytes, bytes]]
JSON = (b"content-type", b"application/json")
PROBLEM = (b"content-type", b"application/problem+json")
# What agents remember is nobody else's to cache, and no browser is to guess its type.
PRIVATE = [(b"cache-control", b"private, no-cache"), (b"x-content-type-options", b"nosniff")]


class Answer(NamedTuple):
    """One response."""

    status: int
    headers: Headers
    body: bytes

    def complete(self, method: str) -> "Answer":
        """The answer as it is sent to a request of this method, with its length."""
        if self.status != 304:
            self.headers.append((b"content-length", b"%d" % len(self.body)))
        return self._replace(body=b"") if method == "HEAD" else self


def json_answer(
    data: Any, status: int = 200, headers: Iterable[tuple[bytes, bytes]] = ()
) -> Answer:
    """Plain data (with `Json` parts as they are) as a response."""
    return Answer(status, [JSON, *PRIVATE, *headers], write(data).encode())


def problem_answer(error: BotWireError, headers: Iterable[tuple[bytes, bytes]] = ()) -> Answer:
    """An error as RFC 9457 problem details, with the headers that belong to it."""
    problem = error.problem()
    extra: Headers = []
    if isinstance(error, QuotaExceeded):
        problem["type"] = "https://iana.org/assignments/http-problem-types#quota-exceeded"
        problem["violated-policies"] = [error.policy]
        if error.reset_s is not None:
            extra.append((b"retry-after", str(error.reset_s).encode()))
    elif error.retryable:
        extra.append((b"retry-after", b"1"))
    if error.status == 401:
        extra.append((b"www-authenticate", b"Bearer"))
    return Answer(error.status, [PROBLEM, *PRIVATE, *extra, *headers], write(problem).encode())
