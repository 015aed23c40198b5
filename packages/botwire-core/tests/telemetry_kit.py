"""What the telemetry tests share: a server that answers as it is told, and Pythons of their own."""

import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class ScriptedServer:
    """Answers each request with the next of the given statuses, and keeps the headers it got."""

    def __init__(self, *statuses: int, body: object = None) -> None:
        self.headers: list[dict[str, str]] = []
        left = list(statuses)
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                outer.headers.append({k.lower(): v for k, v in self.headers.items()})
                text = json.dumps(body).encode()
                self.send_response(left.pop(0) if left else 200)
                self.send_header("content-length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> "ScriptedServer":
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def in_process(script: str, **environment: str) -> str:
    """What a script prints in a Python of its own: a process has one tracer provider for ever."""
    done = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning:botwire", "-c", script],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
