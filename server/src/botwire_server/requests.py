"""One request as the handlers see it, read with the limits that keep a server standing."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any
from urllib.parse import parse_qsl, unquote_to_bytes

from botwire.errors import InvalidRequest, TooLarge
from botwire_server.keys import Key
from botwire_server.steps import BODY, Taking

__all__ = ["ClientGone", "Receive", "Request", "Scope", "TooSlow", "UnsupportedType"]

BODY_SECONDS = 60.0  # a body that takes longer is given up

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


class ClientGone(Exception):
    """The client hung up before its request was whole."""


class TooSlow(InvalidRequest):
    """The client did not finish its request in time."""

    status, code, title = 408, "BW-408-slow", "Request timeout"


class UnsupportedType(InvalidRequest):
    """The body is not declared as JSON."""

    status, code, title = 415, "BW-415-type", "Unsupported content type"


class Request:
    """A request: its method, path and headers, and its body if that came with them.

    Args:
        path, query_string: as they were sent, percent-encoded.
        headers: names in lower case.
        limit: bytes the body may have.
        body: None where it has not been read yet.
    """

    __slots__ = ("body", "headers", "key", "limit", "method", "path", "query_string")

    def __init__(
        self,
        method: str,
        path: bytes,
        query_string: bytes,
        headers: Iterable[tuple[bytes, bytes]],
        limit: int,
        body: bytes | None = None,
    ) -> None:
        self.method = method
        self.path = path
        self.query_string = query_string
        self.headers: dict[bytes, bytes] = dict(headers)
        self.limit = limit
        self.body = body
        self.key: Key | None = None

    @classmethod
    def of(cls, scope: Scope, limit: int) -> "Request":
        """The request that ASGI describes."""
        return cls(
            scope["method"], scope["raw_path"], scope["query_string"], scope["headers"], limit
        )

    def query(self, *known: str) -> dict[str, str]:
        """The query's parameters; an unknown one is refused, since it would do nothing."""
        try:
            pairs = parse_qsl(self.query_string.decode(), keep_blank_values=True, errors="strict")
        except ValueError:
            raise InvalidRequest("the query is not UTF-8") from None
        for name, _ in pairs:
            if name not in known:
                hint = f"Known: {', '.join(known)}." if known else "There are none."
                raise InvalidRequest(f"there is no query parameter {name[:60]!r}", hint=hint)
        return dict(pairs)

    def text(self, content_type: str = "application/json") -> Taking[str]:
        """The body as text; it must be declared as JSON."""
        given = self.headers.get(b"content-type", b"").decode("latin-1")
        if given != content_type and given.partition(";")[0].strip().lower() != content_type:
            raise UnsupportedType(
                f"the body is declared as {given[:60] or 'nothing'!r}, not as {content_type}",
                hint=f"With curl: -H 'Content-Type: {content_type}'",
            )
        body = self.body
        if body is None:
            length = self.headers.get(b"content-length")
            if length is not None and int(length) > self.limit:
                raise self.too_large()
            body = self.body = yield BODY
        elif len(body) > self.limit:
            raise self.too_large()
        try:
            return body.decode()
        except UnicodeDecodeError as error:
            raise InvalidRequest(f"the body is not UTF-8: {error}") from None

    def too_large(self) -> TooLarge:
        """What to say of a body beyond the limit."""
        return TooLarge(
            f"the request is larger than {self.limit:,} bytes",
            hint="Send it in parts; the operator can raise --request-bytes.",
            limit=self.limit,
        )


async def read_body(request: Request, receive: Receive) -> bytes:
    """The body as it arrives, within the limits of size and time."""
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await _parts(request, receive)
    except TimeoutError:
        raise TooSlow(f"the body did not arrive within {BODY_SECONDS:.0f} s") from None


async def _parts(request: Request, receive: Receive) -> bytes:
    parts: list[bytes] = []
    length = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        parts.append(message.get("body", b""))
        length += len(parts[-1])
        if length > request.limit:
            raise request.too_large()
        if not message.get("more_body"):
            return b"".join(parts) if len(parts) > 1 else parts[0]


def path_text(raw: bytes) -> str:
    """A part of the path as text."""
    try:
        return (unquote_to_bytes(raw) if b"%" in raw else raw).decode()
    except UnicodeDecodeError:
        raise InvalidRequest("the path is not UTF-8", hint="Percent-encode UTF-8 bytes.") from None
