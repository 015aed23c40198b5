"""Load on HTTP servers: a bare ASGI echo, BotWire, and BotWire with one commit a write.

`wrk` makes the load where it is installed; otherwise a process of this file does, which is slower
itself and so flatters slow servers less: the first line of the output says which it was.
"""

import asyncio
import json
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

__all__ = ["VALUE", "Load", "Places", "measure", "serving", "tool"]

VALUE = "x" * 140
KEYS = 1000
LUA = """
if wrk.method == "PUT" then
  wrk.headers["Content-Type"] = "application/json"
  wrk.body = '{"value":"%(value)s"}'
end
math.randomseed(%(seed)d)
local turn = 0
request = function()
  local n = math.random(0, %(keys)d - 1)
  if %(once)s then
    turn = turn + 1
    wrk.headers["Idempotency-Key"] = string.format("%%08x%%07x-%%016x", %(seed)d, turn, n)
  end
  return wrk.format(nil, "/memory/%(name)s-" .. n %% %(namespaces)d .. "/k" .. n)
end
"""


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


def tool() -> str:
    """What makes the load."""
    return "wrk" if shutil.which("wrk") else "a Python process"


async def _echo(scope, receive, send) -> None:
    """The bare application: reads the body, answers as many bytes as BotWire does."""
    if scope["type"] != "http":
        return
    if scope["method"] == "PUT":
        await receive()
    body = b'{"namespace":"bench","key":"k1","value":"' + VALUE.encode() + b'","version":1}'
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _serve(kind: str, store: str) -> None:
    """Run one of the servers in this process (started by `serving`)."""
    if kind == "echo":
        import socket

        import uvicorn

        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen(2048)
        port = listener.getsockname()[1]
        print(json.dumps({"url": f"http://127.0.0.1:{port}"}), file=sys.stderr, flush=True)
        config = uvicorn.Config(_echo, http="httptools", access_log=False, log_level="critical")
        uvicorn.Server(config).run([listener])
        return
    from botwire_server import lanes
    from botwire_server.serve import serve
    from botwire_server.settings import Settings

    if kind == "single":
        lanes.GROUP = 1  # one commit a write: what group commit is measured against
    serve(Settings(url=store, port=0))


@contextmanager
def serving(kind: str) -> Generator[str]:
    """A server of one of the kinds `echo`, `botwire`, `single`; gives its URL."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "serve", kind, f"sqlite:///{folder}/bench.db"]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        url = next(found["url"] for line in process.stderr if "url" in (found := json.loads(line)))
        try:
            _wait(url)
            yield url
        finally:
            process.terminate()
            process.wait()
            process.stderr.close()


def _wait(url: str) -> None:
    import httpx

    deadline = time.monotonic() + 30
    while True:
        try:
            body = {"value": VALUE}
            for number in range(0, KEYS, KEYS // 10):
                httpx.put(f"{url}/memory/bench/k{number}", json=body).raise_for_status()
            httpx.put(f"{url}/memory/bench/k1", json=body).raise_for_status()
            return
        except httpx.TransportError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def measure(
    url: str, method: str, connections: int, seconds: int, places: Places | None = None
) -> Load:
    """Load a server for some seconds; without `places`: GET of one entry, PUT over many keys."""
    if method == "PUT":
        places = places or Places()
    if shutil.which("wrk"):
        return _wrk(url, method, connections, seconds, places)
    given = [url, method, str(connections), str(seconds), json.dumps(places and asdict(places))]
    done = subprocess.run(
        [sys.executable, __file__, "load", *given], capture_output=True, text=True, check=True
    )
    return Load(**json.loads(done.stdout))


def _wrk(url: str, method: str, connections: int, seconds: int, places: Places | None) -> Load:
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency"]
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        if places:
            script.write(f"wrk.method = '{method}'\n{LUA % _lua_values(places)}")
            script.flush()
            command += ["-s", script.name]
        done = subprocess.run(
            [*command, f"{url}/memory/bench/k1"], capture_output=True, text=True, check=True
        )
    if "Non-2xx" in done.stdout:
        raise RuntimeError(done.stdout)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)
    return Load(float(rate[1]) if rate else 0.0, _ms(done.stdout, "50%"), _ms(done.stdout, "99%"))


def _lua_values(places: Places) -> dict[str, object]:
    seed = random.randrange(2**31)
    return {**asdict(places), "once": json.dumps(places.once), "value": VALUE, "seed": seed}


def _ms(text: str, row: str) -> float:
    found = re.search(rf"{row}\s+([\d.]+)(us|ms|s)", text)
    if found is None:
        raise RuntimeError(text)
    return float(found[1]) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[found[2]]


async def _make_load(
    url: str, method: str, connections: int, seconds: int, places: Places | None
) -> Load:
    host, _, port = url.removeprefix("http://").partition(":")
    times: list[float] = []
    deadline = time.perf_counter() + seconds

    async def connection() -> None:
        reader, writer = await asyncio.open_connection(host, int(port))
        while (started := time.perf_counter()) < deadline:
            writer.write(_request(host, method, places))
            answer = await reader.readuntil(b"\r\n\r\n")
            if answer[9:10] != b"2":
                raise RuntimeError(answer)
            length = re.search(rb"content-length: (\d+)", answer)
            await reader.readexactly(int(length[1]) if length else 0)
            times.append(time.perf_counter() - started)
        writer.close()

    await asyncio.gather(*(connection() for _ in range(connections)))
    times.sort()
    return Load(
        len(times) / seconds, times[len(times) // 2] * 1e3, times[len(times) * 99 // 100] * 1e3
    )


def _request(host: str, method: str, places: Places | None) -> bytes:
    path, headers, body = "bench/k1", "", ""
    if places:
        number = random.randrange(places.keys)
        path = f"{places.name}-{number % places.namespaces}/k{number}"
        if places.once:
            headers = f"Idempotency-Key: {time.time_ns():x}-{number:016x}\r\n"
    if method == "PUT":
        body = f'{{"value":"{VALUE}"}}'
        headers += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return f"{method} /memory/{path} HTTP/1.1\r\nHost: {host}\r\n{headers}\r\n{body}".encode()


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        _serve(sys.argv[2], sys.argv[3])
    else:
        url, method, connections, seconds, places = sys.argv[2:]
        given = json.loads(places)
        load = asyncio.run(
            _make_load(url, method, int(connections), int(seconds), given and Places(**given))
        )
        print(json.dumps(load.__dict__))
