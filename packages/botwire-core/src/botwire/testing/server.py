"""A real server process on a free port, for tests: started, killed and started again on demand."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

from botwire.memory import Memory

__all__ = ["ServerProcess", "botwire_server"]

START_SECONDS = 30.0
END_SECONDS = 60.0  # a server gives its callers 30 to come to an end


class ServerProcess:
    """`botwire serve` in a process of its own; ready when the constructor returns.

    Args:
        store: URL of the store it serves.
        port: 0 takes a free one; a restart takes the same one again.
        options: further options of the server, such as `free_tier=True`.

    >>> with ServerProcess("memory://") as server:
    ...     server.memory("test").set("a", 1)
    1
    """

    def __init__(self, store: str, *, port: int = 0, **options: Any) -> None:
        self.store = store
        self.port = port
        self.url = ""
        self.log: list[dict[str, Any]] = []
        self._environment = {
            **os.environ,
            "BOTWIRE_SERVE_URL": store,
            **{f"BOTWIRE_SERVE_{name.upper()}": _text(value) for name, value in options.items()},
        }
        self.start()

    def start(self) -> None:
        """Start the process and wait until it listens."""
        self._listening = threading.Event()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "botwire_server"],
            env={**self._environment, "BOTWIRE_SERVE_PORT": str(self.port)},
            stderr=subprocess.PIPE,
        )
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()
        if not self._listening.wait(START_SECONDS) or not self.url:
            self.kill()
            raise RuntimeError(f"the server did not start: {self.log[-3:]}")

    def _read_log(self) -> None:
        """Keep what the server logs, and notice where it listens."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            try:
                self.log.append(json.loads(line))
            except ValueError:
                self.log.append({"message": line.decode(errors="replace").rstrip()})
            if self.log[-1].get("message") == "serving":
                self.url = self.log[-1]["url"]
                self.port = int(self.url.rpartition(":")[2])
                self._listening.set()
        self._listening.set()

    def memory(self, namespace: str, **options: Any) -> Memory:
        """A memory on this server."""
        return Memory(namespace, url=self.url, **options)

    def kill(self) -> None:
        """End the process at once, as a crash would (SIGKILL)."""
        self.process.kill()
        self._wait()

    def stop(self) -> int:
        """Ask the process to end (SIGTERM), wait for it, and return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self._wait()

    def restart(self) -> None:
        """Start again on the same port and store."""
        if self.process.poll() is None:
            self.stop()
        self.start()

    def _wait(self) -> int:
        code = self.process.wait(END_SECONDS)
        self._reader.join(START_SECONDS)
        if self.process.stderr is not None:
            self.process.stderr.close()
        return code

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.stop()


def _text(value: Any) -> str:
    return str(int(value)) if isinstance(value, bool) else str(value)


@pytest.fixture
def botwire_server(tmp_path: Path) -> Iterator[ServerProcess]:
    """A server with an empty SQLite store of its own; see `ServerProcess`."""
    with ServerProcess(f"sqlite:///{tmp_path / 'server.db'}") as server:
        yield server
