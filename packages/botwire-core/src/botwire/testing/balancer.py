"""One address for several servers, each request to the next of them, as a load balancer does it."""

import asyncio
import threading
from collections.abc import Sequence
from contextlib import suppress
from itertools import cycle
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

__all__ = ["Balancer"]

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Balancer:
    """Passes requests on to servers in turn; `.url` is its address.

    A server that refuses the connection is passed over. One that breaks off ends the caller's
    connection as well, as it is not known what it did.
    """

    def __init__(self, urls: Sequence[str]) -> None:
        ports = [urlsplit(url).port for url in urls]
        self._turns = cycle([port for port in ports if port is not None])
        self._count = len(urls)
        self._callers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="balancer", daemon=True)
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=2**20)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        servers: dict[int, Streams] = {}
        self._callers.add(writer)
        with suppress(OSError, asyncio.IncompleteReadError):
            while True:
                request = await _message(reader)
                answer = await self._pass_on(request, servers)
                writer.write(answer)
                await writer.drain()
        self._callers.discard(writer)
        for end in (writer, *(out for _, out in servers.values())):
            end.close()
            with suppress(OSError):
                await end.wait_closed()

    async def _pass_on(self, request: bytes, servers: dict[int, Streams]) -> bytes:
        server, out = await self._next(servers)
        out.write(request)
        await out.drain()
        return await _message(server, head_only=request.startswith(b"HEAD "))

    async def _next(self, servers: dict[int, Streams]) -> Streams:
        for _ in range(self._count):
            port = next(self._turns)
            with suppress(ConnectionRefusedError):
                if port in servers and servers[port][0].at_eof():
                    servers.pop(port)[1].close()
                if port not in servers:
                    servers[port] = await asyncio.open_connection("127.0.0.1", port, limit=2**20)
                return servers[port]
        raise ConnectionRefusedError("no server is there")

    def close(self) -> None:
        """End all connections."""
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end(self) -> None:
        self._server.close()
        for caller in self._callers:
            caller.transport.abort()  # its reader then ends
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        await asyncio.gather(*tasks)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.close()


async def _message(reader: asyncio.StreamReader, *, head_only: bool = False) -> bytes:
    """A request or an answer, whole; its length must be given."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = 0
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    return head if head_only or not length else head + await reader.readexactly(length)
