"""HTTP/1.1 with four things that uvicorn's protocol does not have.

- Limits on what comes before the body: without them one client could fill the memory with endless
  headers, or hold a connection open by sending them a byte at a time.
- A request to the front that is whole in the data that brought it is answered without ASGI
  (`exchange.py`). Whatever is not so simple goes uvicorn's way: bodies in several parts, requests
  behind others on the connection, clients that do not read their answers.
- What one turn of the event loop answers is written when the turn ends: head and body in one
  system call, and a client that reads many answers is woken once instead of for each.
- One timer for each connection, not one for each answer, hangs up on who is silent.
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
from botwire_server.exchange import Exchange
from botwire_server.front import PATHS, Front
from botwire_server.requests import Request, TooSlow

__all__ = ["LimitedProtocol"]

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
        *("_outbox", "_transport", "abort", "get_extra_info", "is_closing"),
        *("pause_reading", "resume_reading", "set_protocol", "unsent"),
    )

    def __init__(self, transport: asyncio.Transport, outbox: _Outbox) -> None:
        self._transport = transport
        self._outbox = outbox
        self.unsent: list[bytes] = []
        self.abort = transport.abort
        self.get_extra_info = transport.get_extra_info
        self.is_closing = transport.is_closing
        self.pause_reading = transport.pause_reading
        self.resume_reading = transport.resume_reading
        self.set_protocol = transport.set_protocol

    def write(self, data: bytes) -> None:
        if not self.unsent:
            self._outbox.add(self)
        self.unsent.append(data)

    def flush(self) -> None:
        if self.unsent:
            parts, self.unsent = self.unsent, []
            self._transport.write(parts[0] if len(parts) == 1 else b"".join(parts))

    def close(self) -> None:
        self.flush()
        self._transport.close()


_outboxes: WeakKeyDictionary[asyncio.AbstractEventLoop, _Outbox] = WeakKeyDictionary()


class LimitedProtocol(HttpToolsProtocol):
    """uvicorn's protocol, which answers with a problem where a request never becomes one."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        app = cast("object", self.app)
        self._front: Front | None = app if isinstance(app, Front) else None
        self._body: list[bytes] | None = None  # of a request that may turn out to be whole
        self._keep_alive = True
        self._head = 0  # bytes of a head that has begun and is not whole
        self._whole = True
        self._timer: asyncio.TimerHandle | None = None
        self._silent_since: float | None = None  # None: there is something to do
        self._silence: asyncio.TimerHandle | None = None

    # -- the connection ------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        outbox = _outboxes.get(self.loop)
        if outbox is None:
            outbox = _outboxes[self.loop] = _Outbox(self.loop)
        self._writes = _Writes(transport, outbox)
        super().connection_made(cast("asyncio.Transport", self._writes))
        # As after an answer: who sends nothing is hung up on, in silence, since nothing was asked.
        self._silent_since = self.loop.time()
        self._watch(self.timeout_keep_alive)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        if self._silence is not None:
            self._silence.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._whole and (self.cycle is None or not self.cycle.more_body):  # pyright: ignore[reportUnnecessaryComparison]
            self._whole, self._head = False, 0
        super().data_received(data)
        if not self._whole:
            self._wait_for_head(len(data))
        elif self._body is not None:  # more of it is to come
            self._hand_over()

    # -- silence -------------------------------------------------------------------------------

    def _watch(self, seconds: float) -> None:
        self._silence = self.loop.call_later(seconds, self._look_for_silence)

    def _look_for_silence(self) -> None:
        now = self.loop.time()
        left = self.timeout_keep_alive - (now - (self._silent_since or now))
        if left > 0:
            self._watch(left)
        else:
            self.timeout_keep_alive_handler()

    def _unset_keepalive_if_required(self) -> None:
        self._silent_since = None

    def on_response_complete(self) -> None:
        """As uvicorn's, but for the timer."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        else:
            self._silent_since = self.loop.time()

    # -- requests ------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self.url, self.headers, self.expect_100_continue = b"", [], False

    def on_headers_complete(self) -> None:
        self._whole = True
        self._stop_timer()
        parser: Any = self.parser
        if self._may_be_simple(parser):
            self._body = []
            self._keep_alive = parser.should_keep_alive()
        else:
            self._use_asgi()

    def _may_be_simple(self, parser: Any) -> bool:
        return (
            self._front is not None
            and self.url.startswith(PATHS)
            and self.url.isascii()
            and b"#" not in self.url
            and (self.cycle is None or self.cycle.response_complete)  # pyright: ignore[reportUnnecessaryComparison]
            and not (self._writes.unsent or self.flow.write_paused)
            and not (self.expect_100_continue or parser.should_upgrade())
            and parser.get_http_version() == "1.1"
        )

    def _use_asgi(self) -> None:
        """What uvicorn does when the headers are complete, with a scope that is made only now."""
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expects
        self.headers = self.scope["headers"] = headers
        super().on_headers_complete()

    def _hand_over(self) -> None:
        """More of the body is to come, so it is not simple."""
        parts, self._body = self._body, None
        self._use_asgi()
        for part in parts or ():
            super().on_body(part)

    def on_body(self, body: bytes) -> None:
        if self._body is None:
            super().on_body(body)
        else:
            self._body.append(body)

    def on_message_complete(self) -> None:
        if self._body is None:
            super().on_message_complete()
            return
        parts, self._body = self._body, None
        self._answer(b"".join(parts))

    def _answer(self, body: bytes) -> None:
        front, parser = cast("Front", self._front), cast("Any", self.parser)
        path, _, query = self.url.partition(b"?")
        method = parser.get_method().decode("ascii")
        request = Request(method, path, query, self.headers, front.limit, body)
        exchange = Exchange(front, self, request, self._keep_alive)
        exchange.begin()
        if not exchange.response_complete:
            self.cycle = cast("RequestResponseCycle", exchange)

    # -- refusals ------------------------------------------------------------------------------

    def _wait_for_head(self, more: int) -> None:
        self._head += more
        if self._head > HEAD_BYTES:
            self._refuse(HeadTooLarge(f"request line and headers exceed {HEAD_BYTES:,} bytes"))
        elif self._timer is None:
            self._timer = self.loop.call_later(HEAD_SECONDS, self._too_slow)

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
