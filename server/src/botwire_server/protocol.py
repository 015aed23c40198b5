"""HTTP/1.1 with limits on what comes before the body, which the protocol below does not have.

Without them one client could fill the memory with endless headers, or hold a connection open by
sending them a byte at a time.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from botwire.errors import BotWireError, InvalidRequest, Timeout
from botwire.jsontext import write

__all__ = ["LimitedProtocol"]

HEAD_BYTES = 64 * 1024  # request line and headers together
HEAD_SECONDS = 30.0


class HeadTooLarge(InvalidRequest):
    """Request line and headers are larger than a server needs them to be."""

    status, code, title = 431, "BW-431-headers", "Request header fields too large"


class BadRequest(InvalidRequest):
    """What came is not HTTP."""

    status, code, title = 400, "BW-400-http", "Bad request"


class LimitedProtocol(HttpToolsProtocol):
    """uvicorn's protocol, which answers 431 and 408-like problems where a request never begins."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head = 0  # bytes of a head that has begun and is not whole
        self._whole = True
        self._timer: asyncio.TimerHandle | None = None

    def data_received(self, data: bytes) -> None:
        if self._whole and (self.cycle is None or not self.cycle.more_body):  # pyright: ignore[reportUnnecessaryComparison]
            self._whole, self._head = False, 0
        super().data_received(data)
        if not self._whole:
            self._wait_for_head(len(data))

    def _wait_for_head(self, more: int) -> None:
        self._head += more
        if self._head > HEAD_BYTES:
            self._refuse(HeadTooLarge(f"request line and headers exceed {HEAD_BYTES:,} bytes"))
        elif self._timer is None:
            self._timer = self.loop.call_later(HEAD_SECONDS, self._too_slow)

    def on_headers_complete(self) -> None:
        self._whole = True
        self._stop_timer()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_slow(self) -> None:
        self._refuse(Timeout(f"the headers did not arrive within {HEAD_SECONDS:.0f} s"))

    def send_400_response(self, msg: str) -> None:
        self._refuse(BadRequest("what was sent is not HTTP/1.1", hint="Check the client."))

    def _refuse(self, error: BotWireError) -> None:
        """Answer although no request was read, and hang up."""
        self._stop_timer()
        if self.transport.is_closing():
            return
        body = write(error.problem()).encode()
        head = b"content-type: application/problem+json\r\nconnection: close\r\n"
        length = b"content-length: %d\r\n\r\n" % len(body)
        self.transport.write(STATUS_LINE[error.status] + head + length + body)
        self.transport.close()
