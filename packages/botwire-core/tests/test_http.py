"""The client beside a server that is no BotWire, and with limits that no socket knows."""

import asyncio
import gc
import http.server
import math
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, cast
from weakref import WeakSet

import pytest

from botwire import AsyncMemory, Memory
from botwire.errors import BotWireError, Timeout, Unavailable


class Stranger(http.server.ThreadingHTTPServer):
    """Answers every request with the same few bytes."""

    daemon_threads = True
    answer: tuple[int, bytes, dict[str, str]] = (200, b"null", {})
    pause = 0.0  # seconds before each byte of the body

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Answering(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        status, body, headers = cast("Stranger", self.server).answer
        self.send_response(status)
        for name, value in {**headers, "content-length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if not (pause := cast("Stranger", self.server).pause):
            self.wfile.write(body)
            return
        with suppress(ConnectionError):
            for byte in body:
                time.sleep(pause)
                self.wfile.write(bytes([byte]))

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing to say."""


@pytest.fixture
def stranger() -> Iterator[Stranger]:
    with Stranger(("127.0.0.1", 0), Answering) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    "body", [b"<html>Welcome, please log in</html>", b"", b"\xff\xfe", b"[1]", b'{"value":"geh']
)
def test_an_answer_of_something_else_is_said_without_showing_it(
    stranger: Stranger, body: bytes
) -> None:
    stranger.answer = (200, body, {"content-type": "text/html"})
    with Memory("agent", url=stranger.url, timeout=5) as memory:
        for act in (lambda: memory.get("k"), lambda: memory.set("k", 1)):
            with pytest.raises(Unavailable) as refused:
                act()
            assert "no BotWire server" in refused.value.detail
            assert stranger.url in refused.value.detail
            assert "botwire doctor" in refused.value.hint
            assert "geh" not in str(refused.value)


def test_a_redirection_says_where_it_points(stranger: Stranger) -> None:
    stranger.answer = (308, b"", {"location": "https://me:geheim@elsewhere.example/v1/get"})
    with Memory("agent", url=stranger.url) as memory, pytest.raises(BotWireError) as refused:
        memory.get("k")
    assert "https://me:***@elsewhere.example/v1/get" in refused.value.hint


def test_a_wait_that_is_no_number_is_not_waited_for(stranger: Stranger) -> None:
    stranger.answer = (503, b"", {"retry-after": "\xb2"})
    with Memory("agent", url=stranger.url, timeout=0.1) as memory, pytest.raises(Unavailable):
        memory.get("k")


@pytest.mark.parametrize("timeout", [math.inf, 1e10, 3e6, pytest.param(10**400, id="huge")])
def test_a_timeout_longer_than_sockets_can_wait_is_as_long_as_they_can(
    stranger: Stranger, timeout: float
) -> None:
    with Memory("agent", url=stranger.url, timeout=timeout) as memory:
        assert memory.get("k", "nothing") == "nothing"


def test_an_answer_that_comes_in_drops_ends_with_the_timeout(stranger: Stranger) -> None:
    stranger.answer, stranger.pause = (200, b" " * 200, {}), 0.05

    async def read() -> None:
        async with AsyncMemory("agent", url=stranger.url, timeout=0.4) as memory:
            await memory.get("k")

    with Memory("agent", url=stranger.url, timeout=0.4) as memory:
        for act in (lambda: memory.get("k"), lambda: asyncio.run(read())):
            began = time.monotonic()
            with pytest.raises(Timeout, match="nothing was changed"):
                act()
            assert time.monotonic() - began < 5


def test_event_loops_that_ended_are_forgotten(stranger: Stranger) -> None:
    memory = AsyncMemory("agent", url=stranger.url)
    loops: WeakSet[asyncio.AbstractEventLoop] = WeakSet()

    async def read() -> None:
        loops.add(asyncio.get_running_loop())
        await memory.get("k")

    for _ in range(5):
        asyncio.run(read())
    gc.collect()
    assert len(loops) <= 1
    asyncio.run(memory.close())
