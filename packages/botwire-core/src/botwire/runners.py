"""Where operations run: in this process on a store, or on a server. `connect` chooses by URL.

- A connection is shared by every Memory with the same address and closed with the last of them.
- It does nothing before the first operation, and it serves any number of threads and event loops.
- `http.py` is the only room that knows httpx.
"""

import atexit
import os
import re
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Protocol
from urllib.parse import unquote

from botwire.errors import InvalidRequest
from botwire.forks import watch
from botwire.operations import Operation
from botwire.stores.base import Escalate, Mode
from botwire.stores.store import Store

__all__ = [
    "Connection",
    "LocalConnection",
    "close_dropped",
    "connect",
    "default_url",
    "drop",
    "holds_password",
    "is_server",
    "open_store",
    "public_url",
    "release",
    "sqlite_path",
]

HOSTED = "https://botwire.dev"
_password = re.compile(r"([a-z]+://[^:@/?#]*:).*@", re.DOTALL)
_password_parameter = re.compile(r"([?&](?:ssl)?password=)[^&]*")


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
                if operation.looks:
                    return self.store.look(operation)
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


def default_url() -> str:
    """Where memory is looked for without `url=`: BOTWIRE_URL, else the hosted service."""
    return os.environ.get("BOTWIRE_URL") or HOSTED


def public_url(url: str) -> str:
    """The URL, or a text that holds some, without passwords, for messages.

    It is not taken apart as a URL: the one in a message is often wrong just because its password
    holds a `/`, `#` or `@`. What might belong to the password is left out.

    >>> public_url("https://me:secret@example.com/base")
    'https://me:***@example.com/base'
    >>> public_url("postgresql://db.example.com/agents?password=secret&sslmode=require")
    'postgresql://db.example.com/agents?password=***&sslmode=require'
    """
    return _password_parameter.sub(r"\1***", _password.sub(r"\1***@", url))


def holds_password(url: str) -> bool:
    """Whether a URL must not be written down as it is.

    >>> holds_password("postgresql:///agents?password=secret"), holds_password("memory://")
    (True, False)
    """
    return public_url(url) != url


def _open(url: str, api_key: str | None, timeout: float) -> Connection:
    if is_server(url):
        from botwire.http import HttpConnection

        return HttpConnection(url, api_key, timeout)
    return LocalConnection(open_store(url), url)


def is_server(url: str) -> bool:
    """Whether a URL names a server, which is reached over HTTP."""
    return url.startswith(("http://", "https://"))


def open_store(url: str, **options: Any) -> Store:
    """The store a URL names: `sqlite:///path`, `memory://` or `postgresql://...`.

    >>> open_store("memory://").namespaces()
    []
    """
    scheme, found, _ = url.partition("://")
    if found and scheme == "sqlite":
        from botwire.stores.sqlite import SQLiteStore

        return SQLiteStore(sqlite_path(url), **options)
    if found and scheme == "memory":
        from botwire.stores.sqlite import SQLiteStore

        return SQLiteStore(None, **options)
    if found and scheme in ("postgresql", "postgres"):
        return _open_postgres(url, options)
    raise InvalidRequest(
        f"{public_url(url)!r} is no address of a memory",
        hint="Use sqlite:///memory.db, memory://, postgresql://... or the http(s):// of a server.",
    )


def sqlite_path(url: str) -> str | None:
    """The file a `sqlite:` URL names; None: none, it is memory of the process alone.

    `/memory.db` is beside the process, `//var/memory.db` is absolute (as in SQLAlchemy).

    >>> sqlite_path("sqlite:///memory.db")
    'memory.db'
    """
    rest = url.removeprefix("sqlite://")
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


class _Table:
    """The connections of this process by address, and how many handles use each."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._shared: dict[tuple[str, str | None, float], Connection] = {}
        self._users: dict[Connection, int] = {}
        watch(self)

    def take(self, url: str, api_key: str | None, timeout: float) -> Connection:
        # Key and timeout are for servers; a store is the same one whatever else a handle was given.
        key = (url, api_key, timeout) if is_server(url) else (url, None, 0.0)
        with self._lock:
            connection = self._shared.get(key)
            if connection is None:
                connection = self._shared[key] = _open(url, api_key, timeout)
            self._users[connection] = self._users.get(connection, 0) + 1
            return connection

    def give_back(self, connection: Connection) -> bool:
        with self._lock:
            self._users[connection] -= 1
            if self._users[connection] > 0 or _ends_with_the_process(connection.url):
                return False
            del self._users[connection]
            for key in [key for key, value in self._shared.items() if value is connection]:
                del self._shared[key]
            return True

    def before_fork(self) -> None:
        self._lock.acquire()

    def after_fork(self, child: bool) -> None:
        self._lock.release()


def _ends_with_the_process(url: str) -> bool:
    return url.startswith("memory:") or (url.startswith("sqlite:") and sqlite_path(url) is None)


_table = _Table()
# Handles that were dropped without being closed. The collector finds them at any moment, also while
# this thread holds a lock, so it only notes them; whoever comes next gives their share back.
_dropped: deque[Connection] = deque()


def connect(url: str, api_key: str | None, timeout: float) -> Connection:
    """The connection of this process to an address; give it back with `release`."""
    close_dropped()
    return _table.take(url, api_key, timeout)


def release(connection: Connection) -> bool:
    """Give a connection back; True when nobody uses it any more, so that it is to be closed.

    Memory in the process alone is never closed: it would be lost.
    """
    return _table.give_back(connection)


def drop(connection: Connection) -> None:
    """Note that a handle was dropped; safe to call from the garbage collector."""
    _dropped.append(connection)


@atexit.register
def close_dropped() -> None:
    """Give back what dropped handles held."""
    while _dropped:
        try:
            connection = _dropped.popleft()
        except IndexError:  # another thread was quicker
            return
        if release(connection):
            connection.close()
