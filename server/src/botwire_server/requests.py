"""One request as the handlers see it, read with the limits that keep a server standing."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qsl, unquote_to_bytes

from botwire.errors import InvalidRequest, TooLarge
from botwire_server.keys import Key

__all__ = ["ClientGone", "Receive", "Request", "TooSlow", "UnsupportedType"]

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
    """A request: its method, headers, and body once it was asked for."""

    __slots__ = ("_limit", "_receive", "headers", "key", "method", "path", "query_string")

    def __init__(self, scope: Scope, receive: Receive, limit: int) -> None:
        self.method: str = scope["method"]
        self.path: bytes = scope["raw_path"]
        self.query_string: bytes = scope["query_string"]
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.key: Key | None = None
        self._receive = receive
        self._limit = limit

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

    async def text(self, content_type: str = "application/json") -> str:
        """The body as text; it must be declared as JSON."""
        given = self.headers.get(b"content-type", b"").decode("latin-1")
        if given.partition(";")[0].strip().lower() != content_type:
            raise UnsupportedType(
                f"the body is declared as {given[:60] or 'nothing'!r}, not as {content_type}",
                hint=f"With curl: -H 'Content-Type: {content_type}'",
            )
        try:
            return (await self._body()).decode()
        except UnicodeDecodeError as error:
            raise InvalidRequest(f"the body is not UTF-8: {error}") from None

    async def _body(self) -> bytes:
        length = self.headers.get(b"content-length")
        if length is not None and int(length) > self._limit:
            raise self._too_large()
        try:
            async with asyncio.timeout(BODY_SECONDS):
                return await self._parts()
        except TimeoutError:
            raise TooSlow(f"the body did not arrive within {BODY_SECONDS:.0f} s") from None

    async def _parts(self) -> bytes:
        parts: list[bytes] = []
        length = 0
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            parts.append(message.get("body", b""))
            length += len(parts[-1])
            if length > self._limit:
                raise self._too_large()
            if not message.get("more_body"):
                return b"".join(parts) if len(parts) > 1 else parts[0]

    def _too_large(self) -> TooLarge:
        return TooLarge(
            f"the request is larger than {self._limit:,} bytes",
            hint="Send it in parts; the operator can raise --request-bytes.",
            limit=self._limit,
        )


def path_text(raw: bytes) -> str:
    """A part of the path as text."""
    try:
        return (unquote_to_bytes(raw) if b"%" in raw else raw).decode()
    except UnicodeDecodeError:
        raise InvalidRequest("the path is not UTF-8", hint="Percent-encode UTF-8 bytes.") from None
