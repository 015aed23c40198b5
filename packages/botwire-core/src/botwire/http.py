"""Operations over HTTP. The only room that knows httpx; none of its types leave it.

- One exchange covers all attempts at one operation and keeps within the caller's timeout.
- What did not reach the server is sent again. What may have reached it is sent again only because
  it is safe: reads change nothing, and every write carries an idempotency key, which the server
  remembers for 24 hours and answers a second time without doing it a second time.
- Threads share one pool of sockets; event loops get one each, because a socket belongs to its loop.
- The transport is used without the client above it, whose cookies, redirects and content codings
  nothing here needs and every operation would pay for (a fifth of a small read).
"""

import asyncio
import base64
import os
import random
import re
import threading
import time
from collections.abc import AsyncGenerator, Generator, Iterator
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx

from botwire.errors import (
    BotWireError,
    InvalidRequest,
    Timeout,
    Unavailable,
    Unreachable,
    from_problem,
)
from botwire.forks import watch
from botwire.jsontext import decode, write
from botwire.operations import Operation
from botwire.runners import public_url
from botwire.stores.base import Mode

if TYPE_CHECKING:
    from botwire.telemetry import Call

__all__ = ["HttpConnection"]

FIRST_PAUSE = 0.05  # seconds; doubles with each attempt, with jitter
LONGEST_PAUSE = 2.0
LONGEST_WAIT = 1e6  # seconds; Python's sockets refuse to wait for more than 24 days
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
RETRIED = frozenset({502, 503, 504})
LIMITS = httpx.Limits(max_connections=200, max_keepalive_connections=50, keepalive_expiry=60.0)
NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)

_inherited: list[object] = []  # kept for ever: closing them in a child would disturb the parent

Exchange = Generator["httpx.Request | float", "httpx.Response | httpx.TransportError | None", Any]


class HttpConnection:
    """Sends operations to a server. Thread-safe; does nothing before the first operation."""

    def __init__(self, url: str, api_key: str | None, timeout: float) -> None:
        self.url = url
        self.timeout = min(timeout, LONGEST_WAIT)
        self.server = _host_and_port(url)
        self._place = public_url(url)
        self._base = url.rstrip("/") + "/v1/"
        self._urls: dict[str, httpx.URL] = {}
        self._lock = threading.Lock()
        self._pool: httpx.HTTPTransport | None = None
        self._loops: dict[asyncio.AbstractEventLoop, _LoopPool] = {}
        watch(self)
        self._headers = [
            ("host", ""),
            ("content-type", "application/json"),
            ("user-agent", "botwire"),
        ]
        if api_key:
            _refuse_unsendable(api_key)
            self._headers.append(("authorization", f"Bearer {api_key}"))
        elif credentials := _credentials(url):
            self._headers.append(("authorization", f"Basic {credentials}"))

    def run(self, operation: Operation, call: "Call | None" = None) -> Any:
        """Send an operation and return the reply; raises what the server answered.

        A call, if there is one, gives headers to send along and is told of the attempts.
        """
        pool = self._pool or self._open()
        exchange = self._exchange(operation, call)
        try:
            step = next(exchange)
            while True:
                step = exchange.send(_act(pool, step))
        except StopIteration as done:
            return done.value

    async def run_async(self, operation: Operation, call: "Call | None" = None) -> Any:
        held = self._loops.get(asyncio.get_running_loop()) or await self._open_async()
        exchange = self._exchange(operation, call)
        try:
            step = next(exchange)
            while True:
                step = exchange.send(await _act_async(held.pool, step))
        except StopIteration as done:
            return done.value

    def _exchange(self, operation: Operation, call: "Call | None") -> Exchange:
        """All attempts: yields a request or a pause in seconds, is sent what came of it."""
        content = write(operation.request()).encode()
        given = [*self._headers, *(call.headers.items() if call else ())]
        if operation.mode is Mode.WRITE:
            given.append(("idempotency-key", f'"{_new_key()}"'))
        deadline = time.monotonic() + self.timeout
        for attempt in count():
            if call:
                call.attempts = attempt + 1
            answer = yield self._request(
                operation.name, given, content, deadline - time.monotonic()
            )
            if isinstance(answer, httpx.Response) and answer.status_code not in RETRIED:
                return self._reply(operation, answer)
            pause = _pause(answer, attempt)
            if time.monotonic() + pause >= deadline:
                raise self._failure(operation, answer)
            yield pause
        return None

    def _request(
        self, name: str, headers: list[tuple[str, str]], content: bytes, left: float
    ) -> httpx.Request:
        url = self._urls.get(name)
        if url is None:
            url = self._urls[name] = httpx.URL(self._base + name)
            self._headers[0] = ("host", url.netloc.decode())
        headers[0] = self._headers[0]
        limits = dict.fromkeys(("connect", "read", "write", "pool"), max(left, 0.001))
        return httpx.Request(
            "POST", url, headers=headers, content=content, extensions={"timeout": limits}
        )

    def _reply(self, operation: Operation, answer: httpx.Response) -> Any:
        if answer.status_code != 200:
            raise _error(answer)
        try:
            reply = decode(answer.content.decode())
        except ValueError:
            reply = ()
        if reply is None or isinstance(reply, dict):
            return reply  # pyright: ignore[reportUnknownVariableType]
        # Its text is not shown: half an answer of ours would hold values.
        raise Unavailable(
            f"what answered {operation.name!r} at {self._place} is no BotWire server, or its answer"
            f" was damaged on the way; {_state(operation, answer)}",
            hint="Compare the address with: botwire doctor",
        )

    def _failure(self, operation: Operation, answer: object) -> BotWireError:
        if isinstance(answer, httpx.Response):
            return _error(answer)
        kind = Timeout if isinstance(answer, httpx.TimeoutException) else Unreachable
        return kind(
            f"{self._place} did not answer {operation.name!r} within {self.timeout:g} s"
            f" ({type(answer).__name__}: {answer}); {_state(operation, answer)}",
            hint="See what is wrong with: botwire doctor. "
            "To remember in a local file instead: Memory(..., url='sqlite:///memory.db')",
        )

    def _open(self) -> httpx.HTTPTransport:
        with self._lock:
            if self._pool is None:
                self._pool = httpx.HTTPTransport(**_options(self.url))
            return self._pool

    async def _open_async(self) -> "_LoopPool":
        keeper = _keep(self.url)
        held = _LoopPool(await anext(keeper), keeper)
        with self._lock:
            # The sockets of a loop refer to it, so it would never be forgotten by itself.
            for loop in [loop for loop in self._loops if loop.is_closed()]:
                del self._loops[loop]
            self._loops[asyncio.get_running_loop()] = held
        return held

    def close(self) -> None:
        """Close the sockets of threads; those of an event loop close with `close_async` on it."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()

    async def close_async(self) -> None:
        held = self._loops.pop(asyncio.get_running_loop(), None)
        if held is not None:
            await held.keeper.aclose()
        self.close()

    def before_fork(self) -> None:
        self._lock.acquire()

    def after_fork(self, child: bool) -> None:
        if child:
            _inherited.append((self._pool, dict(self._loops)))
            self._pool = None
            self._loops = {}
        self._lock.release()


class _LoopPool(NamedTuple):
    """The sockets of one event loop, and what closes them."""

    pool: httpx.AsyncHTTPTransport
    keeper: AsyncGenerator[httpx.AsyncHTTPTransport]


async def _keep(url: str) -> AsyncGenerator[httpx.AsyncHTTPTransport]:
    """A generator, because an event loop closes those itself: at its end, or once forgotten.

    So nobody needs to close an AsyncMemory before `asyncio.run` ends.
    """
    pool = httpx.AsyncHTTPTransport(**_options(url))
    try:
        yield pool
    finally:
        await pool.aclose()


def _host_and_port(url: str) -> tuple[str, int]:
    try:
        parts = urlsplit(url)
        host, port = httpx.URL(url).host and parts.hostname, parts.port
    except (ValueError, httpx.InvalidURL):
        host = port = None
    if not host:
        # Not "from" the error above: that quotes a part of the password.
        raise InvalidRequest(
            f"{public_url(url)!r} is no address of a server",
            hint="Write https://host or http://host:port; in a password stand %2F for /, %23 for #,"
            " %3F for ?, %40 for @ and %5B for [.",
        )
    return host, port or (443 if url.startswith("https:") else 80)


def _refuse_unsendable(api_key: str) -> None:
    if not re.fullmatch(r"[!-~]([ -~]*[!-~])?", api_key):
        raise InvalidRequest(
            "the API key holds characters that no HTTP header can carry",
            hint="It is one line of ASCII; look for a space or a line break at its ends.",
        )


def _credentials(url: str) -> str | None:
    """User and password of a URL, for a proxy in front of the server (RFC 7617)."""
    parts = urlsplit(url)
    if parts.username is None:
        return None
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return base64.b64encode(pair.encode()).decode()


def _options(url: str) -> dict[str, Any]:
    """How to reach an address: its certificates (read only where there are any) and its proxy."""
    parts = urlsplit(url)
    proxy = getproxies().get(parts.scheme)
    host = parts.hostname or ""
    if host in LOOPBACK or (proxy is not None and proxy_bypass(host)):
        proxy = None  # a proxy elsewhere cannot reach this machine's own addresses
    return {"verify": parts.scheme == "https", "limits": LIMITS, "proxy": proxy}


def _act(pool: httpx.HTTPTransport, step: "httpx.Request | float") -> Any:
    if not isinstance(step, httpx.Request):
        return time.sleep(step)
    deadline = time.monotonic() + step.extensions["timeout"]["read"]
    try:
        response = pool.handle_request(step)
        response.stream = _InTime(response.stream, deadline)
        response.read()
    except httpx.TransportError as error:
        return error
    return response


class _InTime(httpx.SyncByteStream):
    """An answer that ends at a moment, however often a few of its bytes come."""

    def __init__(self, stream: Any, deadline: float) -> None:
        self._stream = stream
        self._deadline = deadline

    def __iter__(self) -> Iterator[bytes]:
        for part in self._stream:
            yield part
            if time.monotonic() > self._deadline:
                raise httpx.ReadTimeout("the answer did not end in time")

    def close(self) -> None:
        self._stream.close()


async def _act_async(pool: httpx.AsyncHTTPTransport, step: "httpx.Request | float") -> Any:
    if not isinstance(step, httpx.Request):
        return await asyncio.sleep(step)
    try:
        async with asyncio.timeout(step.extensions["timeout"]["read"]):
            response = await pool.handle_async_request(step)
            await response.aread()
    except TimeoutError:
        return httpx.ReadTimeout("the answer did not end in time")
    except httpx.TransportError as error:
        return error
    return response


def _new_key() -> str:
    """Unique, and in order of time, so that the server's table grows at one end."""
    return f"{time.time_ns():x}-{os.urandom(8).hex()}"


def _pause(answer: object, attempt: int) -> float:
    """Seconds before the next attempt: what the server asked for, or a little longer each time."""
    if isinstance(answer, httpx.Response):
        wanted = answer.headers.get("retry-after", "")
        if wanted.isascii() and wanted.isdigit():
            return float(wanted)
    longest = min(FIRST_PAUSE * 2.0 ** min(attempt, 10), LONGEST_PAUSE)
    return random.uniform(longest / 2, longest)  # noqa: S311  spread, not secrecy


def _state(operation: Operation, answer: object) -> str:
    if isinstance(answer, NOT_SENT) or operation.mode is not Mode.WRITE:
        return "nothing was changed"
    return "it is not known whether it was written"


def _error(answer: httpx.Response) -> BotWireError:
    try:
        problem = decode(answer.content.decode())
    except ValueError:
        problem = None
    if not isinstance(problem, dict):
        start = " ".join(answer.text[:200].split())
        problem = {"detail": f"the server answered {answer.status_code}: {start}"}
        if answer.has_redirect_location:
            problem["hint"] = (
                f"Use the address it points to: {public_url(answer.headers['location'])}"
            )
    return from_problem(answer.status_code, problem)  # pyright: ignore[reportUnknownArgumentType]
