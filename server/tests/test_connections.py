"""Requests on a connection, whole or in parts, alone or behind others: the answers are the same."""

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable
from typing import Any, cast
from urllib.parse import urlsplit

import httpx
import pytest
import uvicorn
from uvicorn.server import ServerState

from botwire.testing import ServerProcess
from botwire_server.app import create_app
from botwire_server.protocol import LimitedProtocol
from botwire_server.settings import Settings

HOST = b"host: localhost\r\n"


def put(path: str, value: object, more: bytes = b"") -> bytes:
    body = json.dumps({"value": value}).encode()
    head = b"PUT /memory/%s HTTP/1.1\r\n" % path.encode() + HOST + more
    return head + b"content-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body


def get(path: str, more: bytes = b"") -> bytes:
    return b"GET %s HTTP/1.1\r\n" % path.encode() + HOST + more + b"\r\n"


class Connection:
    """A socket, and the answers that come over it."""

    def __init__(self, server: ServerProcess) -> None:
        parts = urlsplit(server.url)
        self.socket = socket.create_connection((parts.hostname, parts.port), timeout=20)
        self._file = self.socket.makefile("rb")

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self.socket.close()

    def send(self, *parts: bytes) -> None:
        for part in parts:
            self.socket.sendall(part)

    def head(self) -> tuple[int, dict[bytes, bytes]]:
        """The status and headers of the next answer."""
        status = int(self._file.readline().split()[1])
        lines = iter(self._file.readline, b"\r\n")
        return status, {
            name: value.strip() for name, _, value in (x.partition(b":") for x in lines)
        }

    def answer(self) -> tuple[int, Any]:
        status, headers = self.head()
        return status, json.loads(self._file.read(int(headers[b"content-length"])))

    def ended(self) -> bool:
        return self._file.read(1) == b""


def test_requests_sent_in_one_piece_are_answered_in_their_order(server: ServerProcess) -> None:
    requests = [
        *(put("line/a", 1), get("/memory/line/a"), put("line/a", 2), get("/memory/line/a")),
        *(get("/memory/line/none"), get("/healthz"), get("/memory/line"), get("/memory/line/a")),
        *(put("line/b", "x" * 100_000), get("/memory/line/b"), get("/memory/line/a")),
    ]
    with Connection(server) as connection:
        for _ in range(3):
            connection.send(b"".join(requests))
            found = [connection.answer() for _ in requests]
            assert [status for status, _ in found] in (
                [201, 200, 200, 200, 404, 200, 200, 200, 201, 200, 200],
                [200, 200, 200, 200, 404, 200, 200, 200, 200, 200, 200],
            )
            assert [found[number][1]["value"] for number in (1, 3, 7, 10)] == [1, 2, 2, 2]
            assert found[9][1]["value"] == "x" * 100_000


def test_many_requests_in_one_piece_are_all_answered(server: ServerProcess) -> None:
    with Connection(server) as connection:
        connection.send(
            b"".join(put(f"many/k{n}", n) + get(f"/memory/many/k{n}") for n in range(300))
        )
        for number in range(300):
            assert connection.answer()[0] in (200, 201)
            assert connection.answer()[1]["value"] == number


def test_a_request_may_be_cut_anywhere(server: ServerProcess) -> None:
    request = put("cut/k", "välue") + get("/memory/cut/k")
    with Connection(server) as connection:
        for position in range(1, len(request), 3):
            connection.send(request[:position])
            if position % 2:  # else both may well arrive together
                httpx.get(f"{server.url}/healthz")
            connection.send(request[position:])
            assert connection.answer()[0] in (200, 201)
            assert connection.answer()[1]["value"] == "välue"


def test_a_body_in_chunks_is_put_together(server: ServerProcess) -> None:
    head = b"PUT /memory/chunks/k HTTP/1.1\r\n" + HOST
    head += b"content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
    parts = [head, b'6\r\n{"valu\r\n', b'8\r\ne": 123}\r\n', b"0\r\n\r\n"]
    with Connection(server) as connection:
        for pieces in ([b"".join(parts)], parts):
            connection.send(*pieces, get("/memory/chunks/k"))
            assert connection.answer()[0] in (200, 201)
            assert connection.answer()[1]["value"] == 123


@pytest.mark.parametrize("path", ["/memory/ending/k", "/memory/ending/none", "/healthz"])
def test_who_wants_the_connection_closed_gets_it_closed(server: ServerProcess, path: str) -> None:
    for request in (
        get(path, b"connection: close\r\n"),
        get(path).replace(b"HTTP/1.1", b"HTTP/1.0"),
        put("ending/k", 1, b"connection: close\r\n"),
    ):
        with Connection(server) as connection:
            connection.send(request)
            assert connection.answer()[0] in (200, 201, 404)
            assert connection.ended()


def test_who_asks_whether_to_send_the_body_is_told_to(server: ServerProcess) -> None:
    request = put("asked/k", 1, b"expect: 100-continue\r\n")
    head, end, body = request.partition(b"\r\n\r\n")
    with Connection(server) as connection:
        connection.send(head + end)
        assert connection.socket.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.send(body)
        assert connection.answer()[0] == 201


def test_head_tells_the_length_and_sends_nothing(server: ServerProcess) -> None:
    with Connection(server) as connection:
        connection.send(put("head/k", "value"))
        connection.answer()
        for path in ("/memory/head/k", "/memory/head/none"):
            connection.send(get(path))
            length = len(json.dumps(connection.answer()[1], separators=(",", ":")))
            connection.send(get(path).replace(b"GET", b"HEAD"), get("/healthz"))
            assert connection.head()[1][b"content-length"] == b"%d" % length
            assert connection.answer() == (200, {"status": "ok"})


def test_a_write_whose_caller_hangs_up_happens_and_the_server_stands(
    server: ServerProcess, client: httpx.Client
) -> None:
    for number in range(50):
        with Connection(server) as connection:
            connection.send(put(f"gone/k{number}", number))
    for number in range(50):
        for _ in range(200):
            if client.get(f"/memory/gone/k{number}").status_code == 200:
                break
        assert client.get(f"/memory/gone/k{number}").json()["value"] == number
    assert "botwire_unexpected_errors_total 0.0" in client.get("/metrics").text


def serving(act: Callable[[int], Awaitable[None]], keep_alive: float) -> None:
    """Run `act` with the port of a server that hangs up on who is silent for so many seconds."""

    async def run() -> None:
        app = cast("Any", create_app(Settings(url="memory://")))
        config = uvicorn.Config(app, http=LimitedProtocol, log_config=None, proxy_headers=False)
        config.load()
        config.timeout_keep_alive = cast("int", keep_alive)
        state, loop = ServerState(), asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: LimitedProtocol(config, state, {}, loop), "127.0.0.1", 0
        )
        async with server:
            await act(server.sockets[0].getsockname()[1])
        async with asyncio.timeout(10):
            while state.connections:  # noqa: ASYNC110  # the other side has closed them
                await asyncio.sleep(0.01)
        await app.service.close()

    asyncio.run(run())


def test_who_is_silent_is_hung_up_on_and_who_is_not_is_not() -> None:
    async def act(port: int) -> None:
        loop = asyncio.get_running_loop()
        _, mute = await asyncio.open_connection("127.0.0.1", port)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        began = loop.time()
        while loop.time() - began < 1.2:  # four times as long as silence may last
            writer.write(get("/memory/silent/none").replace(b"GET", b"HEAD"))
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 404")
            await asyncio.sleep(0.1)
        async with asyncio.timeout(10):
            await reader.read()
        assert loop.time() - began > 1.4
        mute.close()
        writer.close()

    serving(act, keep_alive=0.3)
