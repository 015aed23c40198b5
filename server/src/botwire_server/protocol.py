"""HTTP/1.1 with two things that uvicorn's protocol does not have.

- Limits on what comes before the body: without them one client could fill the memory with endless
  headers, or hold a connection open by sending them a byte at a time.
- What one turn of the event loop answers is written when the turn ends: head and body in one
  system call, and a client that reads many answers is woken once instead of for each.
"""

import asyncio
from typing import Any, cast
from weakref import WeakKeyDictionary

from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from botwire.errors import BotWireError, InvalidRequest
from botwire.jsontext import write
from botwire_server.answers import Headers
from botwire_server.requests import TooSlow

__all__ = ["LimitedProtocol", "respond"]

HEAD_BYTES = 64 * 1024  # request line and headers together
HEAD_SECONDS = 30.0


class HeadTooLarge(InvalidRequest):
    """Request line and headers are larger than a server needs them to be."""

    status, code, title = 431, "BW-431-headers", "Request header fields too large"


class BadRequest(InvalidRequest):
    """What came is not HTTP."""

    status, code, title = 400, "BW-400-http", "Bad request"


class _Outbox:
    """What the connections of one event loop have to write when its turn ends."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: list[_Writes] = []

    def add(self, writes: "_Writes") -> None:
        if not self._waiting:
            self._loop.call_soon(self._send)
        self._waiting.append(writes)

    def _send(self) -> None:
        waiting, self._waiting = self._waiting, []
        for writes in waiting:
            writes.flush()


class _Writes:
    """A transport whose writes leave together when the turn of the event loop ends."""

    __slots__ = (
        *("_outbox", "_parts", "_transport", "abort", "get_extra_info", "is_closing"),
        *("pause_reading", "resume_reading", "set_protocol"),
    )

    def __init__(self, transport: asyncio.Transport, outbox: _Outbox) -> None:
        self._transport = transport
        self._outbox = outbox
        self._parts: list[bytes] = []
        self.abort = transport.abort
        self.get_extra_info = transport.get_extra_info
        self.is_closing = transport.is_closing
        self.pause_reading = transport.pause_reading
        self.resume_reading = transport.resume_reading
        self.set_protocol = transport.set_protocol

    def write(self, data: bytes) -> None:
        if not self._parts:
            self._outbox.add(self)
        self._parts.append(data)

    def flush(self) -> None:
        if self._parts:
            parts, self._parts = self._parts, []
            self._transport.write(b"".join(parts))

    def close(self) -> None:
        self.flush()
        self._transport.close()


_outboxes: WeakKeyDictionary[asyncio.AbstractEventLoop, _Outbox] = WeakKeyDictionary()


def respond(cycle: RequestResponseCycle, status: int, headers: Headers, body: bytes) -> bool:
    """Answer a request whole, or say False where ASGI's `send` has to wait.

    Does what `RequestResponseCycle.send` does for a response of known length, in one step and
    without checking each header again: ours are made here and hold no caller's text.
    """
    if cycle.disconnected or cycle.response_started or cycle.flow.write_paused:
        return False
    head = [STATUS_LINE[status]]
    for name, value in (*cycle.default_headers, *headers):
        head += (name, b": ", value, b"\r\n")
    if not cycle.keep_alive:
        head.append(b"connection: close\r\n")
    head += (b"\r\n", body)
    cycle.response_started = cycle.response_complete = True
    cycle.waiting_for_100_continue = False
    cycle.transport.write(b"".join(head))
    cycle.message_event.set()
    if not cycle.keep_alive:
        cycle.transport.close()
    cycle.on_response()
    return True


class LimitedProtocol(HttpToolsProtocol):
    """uvicorn's protocol, which answers with a problem where a request never becomes one."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head = 0  # bytes of a head that has begun and is not whole
        self._whole = True
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        outbox = _outboxes.get(self.loop)
        if outbox is None:
            outbox = _outboxes[self.loop] = _Outbox(self.loop)
        super().connection_made(cast("asyncio.Transport", _Writes(transport, outbox)))
        # As after an answer: who sends nothing is hung up on, in silence, since nothing was asked.
        self.timeout_keep_alive_task = self.loop.call_later(
            self.timeout_keep_alive, self.timeout_keep_alive_handler
        )

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
        self.scope["botwire.cycle"] = self.cycle  # type: ignore[typeddict-unknown-key]

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_slow(self) -> None:
        self._refuse(TooSlow(f"the headers did not arrive within {HEAD_SECONDS:.0f} s"))

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
