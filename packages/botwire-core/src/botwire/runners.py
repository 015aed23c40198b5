"""Where operations run: in this process on a store, or on a server. `connect` chooses by URL.

- A connection is shared by every Memory with the same address and closed with the last of them.
- It does nothing before the first operation, and it serves any number of threads and event loops.
- After a fork the child starts with connections of its own; what it inherited is left untouched,
  because closing it would disturb the parent.
- `http.py` is the only room that knows httpx.
"""

import os
import threading
from collections.abc import Awaitable, Callable
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

from botwire.errors import InvalidRequest
from botwire.operations import Operation
from botwire.stores.base import Escalate, Mode
from botwire.stores.store import Store

__all__ = ["Connection", "LocalConnection", "connect", "default_url", "public_url", "release"]

HOSTED = "https://botwire.dev"


class Connection(Protocol):
    """A way to reach memories.

    `run(operation)` gives the reply that `Operation.result` reads. `server` is the host and port it
    talks to, or None in this process; to a server, `run(operation, call)` also takes along what
    observers have to say (see `botwire.telemetry`).
    """

    @property
    def url(self) -> str: ...
    @property
    def server(self) -> tuple[str, int] | None: ...
    @property
    def run(self) -> Callable[..., Any]: ...
    @property
    def run_async(self) -> Callable[..., Awaitable[Any]]: ...
    def close(self) -> None: ...
    async def close_async(self) -> None: ...
    def before_fork(self) -> None: ...
    def after_fork(self, child: bool) -> None: ...


class LocalConnection:
    """Runs operations on a store in this process."""

    server = None

    def __init__(self, store: Store, url: str = "") -> None:
        self.store = store
        self.url = url
        self.run = store.run

    async def run_async(self, operation: Operation) -> Any:
        """Single reads are quicker than a hop to a thread; everything else takes the hop."""
        if operation.mode is Mode.POINT and self.store.reads_in_line:
            try:
                return self.store.read(operation, Mode.POINT)
            except Escalate:
                pass
        import asyncio  # slow to import, and code that blocks never needs it

        return await asyncio.to_thread(self.store.run, operation)

    def close(self) -> None:
        self.store.close()

    async def close_async(self) -> None:
        import asyncio

        await asyncio.to_thread(self.store.close)

    def before_fork(self) -> None:
        self.store.before_fork()

    def after_fork(self, child: bool) -> None:
        self.store.after_fork(child)


def default_url() -> str:
    """Where memory is looked for without `url=`: BOTWIRE_URL, else the hosted service."""
    return os.environ.get("BOTWIRE_URL") or HOSTED


def public_url(url: str) -> str:
    """The URL without a password, for messages.

    >>> public_url("https://me:secret@example.com/base")
    'https://me:***@example.com/base'
    """
    parts = urlsplit(url)
    if parts.password is None:
        return url
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=f"{parts.username}:***@{host}").geturl()


def _open(url: str, api_key: str | None, timeout: float) -> Connection:
    scheme = url.partition("://")[0]
    if scheme in ("http", "https"):
        from botwire.http import HttpConnection

        return HttpConnection(url, api_key, timeout)
    return LocalConnection(open_store(url), url)


def open_store(url: str, **options: Any) -> Store:
    """The store a URL names: `sqlite:///path`, `memory://` or `postgresql://...`.

    >>> open_store("memory://").namespaces()
    []
    """
    scheme, found, rest = url.partition("://")
    if found and scheme == "sqlite":
        from botwire.stores.sqlite import SQLiteStore

        return SQLiteStore(_sqlite_path(rest), **options)
    if found and scheme == "memory":
        from botwire.stores.sqlite import SQLiteStore

        return SQLiteStore(None, **options)
    if found and scheme in ("postgresql", "postgres"):
        return _open_postgres(url, options)
    raise InvalidRequest(
        f"{public_url(url)!r} is no address of a memory",
        hint="Use sqlite:///memory.db, memory://, postgresql://... or the http(s):// of a server.",
    )


def _sqlite_path(rest: str) -> str | None:
    """`/memory.db` is beside the process, `//var/memory.db` is absolute (as in SQLAlchemy)."""
    if rest in ("", "/", "/:memory:"):
        return None
    if not rest.startswith("/"):
        raise InvalidRequest(
            f"'sqlite://{rest}' names no file", hint=f"Three slashes: sqlite:///{rest.lstrip('/')}"
        )
    return unquote(rest[1:])


def _open_postgres(url: str, options: dict[str, Any]) -> Store:
    try:
        from botwire_server.postgres import PostgresStore
    except ImportError as error:
        raise InvalidRequest(
            f"the PostgreSQL store is not installed: {error}",
            hint="Install it: pip install 'botwire-server[postgres]'",
        ) from error
    return PostgresStore(url, **options)


_lock = threading.Lock()
_shared: dict[tuple[str, str | None, float], Connection] = {}
_users: dict[Connection, int] = {}
_inherited: list[Connection] = []  # kept for ever: collecting them would close the parent's files


def connect(url: str, api_key: str | None, timeout: float) -> Connection:
    """The connection of this process to an address; give it back with `release`."""
    key = (url, api_key, timeout)
    with _lock:
        connection = _shared.get(key)
        if connection is None:
            connection = _shared[key] = _open(url, api_key, timeout)
        _users[connection] = _users.get(connection, 0) + 1
        return connection


def release(connection: Connection) -> bool:
    """Give a connection back; True when nobody uses it any more, so that it is to be closed.

    Memory in the process alone is never closed: it would be lost.
    """
    with _lock:
        _users[connection] = _users.get(connection, 1) - 1
        if _users[connection] > 0 or connection.url.startswith("memory:"):
            return False
        _users.pop(connection)
        for key in [key for key, value in _shared.items() if value is connection]:
            del _shared[key]
        return True


def _before_fork() -> None:
    _lock.acquire()
    for connection in _users:
        connection.before_fork()


def _after_fork_in_parent() -> None:
    for connection in _users:
        connection.after_fork(child=False)
    _lock.release()


def _after_fork_in_child() -> None:
    for connection in _users:
        connection.after_fork(child=True)
    _lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork_in_child,
    )
