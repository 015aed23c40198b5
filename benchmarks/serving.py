"""Servers to be loaded: a bare ASGI echo, BotWire, and BotWire with one commit a write."""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager

from load import KEYS, VALUE

__all__ = ["serving"]


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
        command = [sys.executable, __file__, kind, f"sqlite:///{folder}/bench.db"]
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


if __name__ == "__main__":
    _serve(*sys.argv[1:])
