"""Load on an HTTP server, made by one process that does little else.

It sends a request on each of its connections, and the next as soon as an answer is there. A request
costs it about 13 microseconds of processor time, where the server is to have the rest: `wrk` takes
11, and needs to be installed; asyncio takes 40.
"""

import json
import random
import selectors
import socket
import subprocess
import sys
import time
from dataclasses import asdict, dataclass

__all__ = ["KEYS", "VALUE", "Load", "Places", "measure"]

VALUE = "x" * 140
KEYS = 1000


@dataclass(frozen=True)
class Load:
    """What a server took: requests a second, and milliseconds for half and for 99 % of them."""

    rate: float
    p50: float
    p99: float


@dataclass(frozen=True)
class Places:
    """Keys in random order: number n is `k{n}` in namespace `{name}-{n % namespaces}`.

    Args:
        once: each write carries an idempotency key, as those of the library do.
    """

    name: str = "bench"
    keys: int = KEYS
    namespaces: int = 1
    once: bool = False


def measure(
    url: str, method: str, connections: int, seconds: int, places: Places | None = None
) -> Load:
    """Load a server for some seconds; without `places`: GET of one entry, PUT over many keys."""
    if method == "PUT":
        places = places or Places()
    given = [url, method, str(connections), str(seconds), json.dumps(places and asdict(places))]
    done = subprocess.run([sys.executable, __file__, *given], stdout=subprocess.PIPE, check=True)
    return Load(**json.loads(done.stdout))


class _Connection:
    """One request at a time."""

    def __init__(self, host: str, port: int) -> None:
        self.socket = socket.create_connection((host, port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._begun = 0.0
        self._answer = b""

    def send(self, request: bytes) -> None:
        self._begun = time.perf_counter()
        self.socket.sendall(request)

    def receive(self) -> float | None:
        """Read what is there; seconds that the request took once its answer is whole."""
        data = self.socket.recv(65536)
        if not data:
            raise RuntimeError("the server has hung up")
        self._answer = self._answer + data if self._answer else data
        if not _is_whole(self._answer):
            return None
        self._answer = b""
        return time.perf_counter() - self._begun


def _is_whole(answer: bytes) -> bool:
    end = answer.find(b"\r\n\r\n")
    if end < 0:
        return False
    if answer[9:10] != b"2":
        raise RuntimeError(answer)
    start = answer.index(b"content-length: ") + 16
    return len(answer) - end - 4 >= int(answer[start : answer.index(b"\r", start)])


def _make_load(
    url: str, method: str, connections: int, seconds: int, places: Places | None
) -> Load:
    host, _, port = url.removeprefix("http://").partition(":")
    selector = selectors.DefaultSelector()
    times: list[float] = []
    deadline = time.perf_counter() + seconds
    for _ in range(connections):
        connection = _Connection(host, int(port))
        selector.register(connection.socket, selectors.EVENT_READ, connection)
        connection.send(_request(host, method, places))
    while selector.get_map():
        for key, _ in selector.select():
            took = key.data.receive()
            if took is None:
                continue
            times.append(took)
            if time.perf_counter() < deadline:
                key.data.send(_request(host, method, places))
            else:
                selector.unregister(key.fileobj)
                key.data.socket.close()
    times.sort()
    return Load(
        len(times) / seconds, times[len(times) // 2] * 1e3, times[len(times) * 99 // 100] * 1e3
    )


def _request(host: str, method: str, places: Places | None) -> bytes:
    path, headers, body = "bench/k1", "", ""
    if places:
        number = int(random.random() * places.keys)
        path = f"{places.name}-{number % places.namespaces}/k{number}"
        if places.once:
            headers = f"Idempotency-Key: {time.time_ns():x}-{number:016x}\r\n"
    if method == "PUT":
        body = f'{{"value":"{VALUE}"}}'
        headers += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return f"{method} /memory/{path} HTTP/1.1\r\nHost: {host}\r\n{headers}\r\n{body}".encode()


if __name__ == "__main__":
    url, method, connections, seconds, places = sys.argv[1:]
    given = json.loads(places)
    load = _make_load(url, method, int(connections), int(seconds), given and Places(**given))
    print(json.dumps(asdict(load)))
