"""A proxy between a program and its database, to cut their connections at the worst moment."""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

__all__ = ["Proxy"]


class Proxy:
    """Passes bytes on between `port` on loopback and a Unix socket, until it is told to cut.

    `cut()` ends every connection now. `cut_at(marker)` ends the one on which a request holds the
    marker, once: before the request is passed on, or (`answered=True`) when its answer arrives,
    which then gets lost.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._marker: tuple[bytes, bool] | None = None
        self.happened = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True, name="proxy")
        self._thread.start()

    def cut_at(self, marker: bytes, *, answered: bool = False) -> None:
        """Cut the connection that sends these bytes next."""
        self.happened.clear()
        self._marker = (marker, answered)

    def cut(self) -> None:
        """Cut every connection now."""
        with self._lock:
            for end in self._open:
                _shut(end)

    def close(self) -> None:
        """Cut everything and listen no more."""
        _shut(self._listener)
        self._listener.close()
        self._thread.join()
        self.cut()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                self._serve(near)

    def _serve(self, near: socket.socket) -> None:
        far = socket.socket(socket.AF_UNIX)
        try:
            far.connect(self._path)
        except OSError:
            near.close()
            far.close()
            return
        with self._lock:
            self._open |= {near, far}
        lost = threading.Event()
        for pump in (lambda: self._forth(near, far, lost), lambda: self._back(near, far, lost)):
            threading.Thread(target=self._pump, args=(pump, near, far), daemon=True).start()

    def _pump(self, pump: Callable[[], None], near: socket.socket, far: socket.socket) -> None:
        with suppress(OSError):
            pump()
        _shut(near)
        _shut(far)
        with self._lock:
            first = near in self._open
            self._open -= {near, far}
        if not first:  # the other direction has ended as well
            near.close()
            far.close()

    def _forth(self, near: socket.socket, far: socket.socket, lost: threading.Event) -> None:
        while data := near.recv(65536):
            marker, answered = self._marker or (None, False)
            if marker is not None and marker in data:
                self._marker = None
                self.happened.set()
                if not answered:
                    return
                lost.set()
            far.sendall(data)

    def _back(self, near: socket.socket, far: socket.socket, lost: threading.Event) -> None:
        while data := far.recv(65536):
            if lost.is_set():
                return
            near.sendall(data)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.close()


def _shut(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
