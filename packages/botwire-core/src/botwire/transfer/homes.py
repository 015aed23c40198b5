"""Where entries are copied from and to: a store in this process, or a server."""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol
from urllib.parse import urlsplit

from botwire.errors import InvalidRequest
from botwire.jsontext import encode
from botwire.memory import Memory
from botwire.operations import Batch, DeleteMany, Entry, Operation, Scan, Set, Usage
from botwire.runners import open_store, public_url
from botwire.stores.store import Store
from botwire.transfer.entries import Kept, Peek, Restore

__all__ = ["Home", "ServerHome", "StoreHome", "open_home", "version_of", "writing"]


NAMES = 1000  # namespaces asked for at once


class Home(Protocol):
    """A place that holds namespaces. `restores`: it takes entries with their versions."""

    place: str
    restores: bool

    def namespaces(self) -> Iterator[str]:
        """The names of all namespaces, in order."""
        ...

    def page(self, name: str, after: str | None, *, values: bool) -> tuple[list[Kept], str | None]:
        """Some entries in order, and the cursor that continues behind them (None: that was all)."""
        ...

    def run(self, operation: Operation) -> Any:
        """Apply an operation and return its result."""
        ...

    def close(self) -> None: ...


class StoreHome:
    """A SQLite file or a PostgreSQL database."""

    restores = True

    def __init__(self, store: Store, place: str) -> None:
        self.place = place
        self._store = store

    def namespaces(self) -> Iterator[str]:
        after = ""
        while names := self._store.namespaces(after, NAMES):
            yield from names
            after = names[-1]

    def page(self, name: str, after: str | None, *, values: bool) -> tuple[list[Kept], str | None]:
        return self._store.run(Peek(name, after, values))

    def run(self, operation: Operation) -> Any:
        return operation.result(self._store.run(operation))

    def close(self) -> None:
        self._store.close()


class ServerHome:
    """A server. Its entries renew their sliding ttl when they are read."""

    restores = False

    def __init__(self, url: str) -> None:
        self.place = public_url(url)
        self._memory = Memory("-", url=url)

    def namespaces(self) -> Iterator[str]:
        raise InvalidRequest(
            f"{self.place} does not tell which namespaces it has",
            hint="Name them: --namespace NAME, as often as needed.",
        )

    def page(self, name: str, after: str | None, *, values: bool) -> tuple[list[Kept], str | None]:
        entries, cursor = self.run(Scan(name, after=after, values=values))
        return [_kept(entry) for entry in entries], cursor

    def run(self, operation: Operation) -> Any:
        return self._memory.run(operation)

    def close(self) -> None:
        self._memory.close()


def _kept(entry: Entry) -> Kept:
    return Kept(
        key=entry.key,
        value=encode(entry.value),
        version=entry.version,
        created_at=entry.created_at.timestamp(),
        updated_at=entry.updated_at.timestamp(),
        ttl=entry.ttl,
        expires_in=entry.expires_in,
        sliding=entry.sliding,
    )


def open_home(url: str) -> Home:
    """The home at an address.

    >>> open_home("memory://").place
    'memory://'
    """
    if urlsplit(url).scheme in ("http", "https"):
        return ServerHome(url)
    return StoreHome(open_store(url), public_url(url))


def version_of(home: Home, name: str) -> int:
    """The last version that was given out in a namespace."""
    return home.run(Usage(name)).version


def writing(
    name: str,
    entries: Sequence[Kept],
    gone: Sequence[str],
    *,
    version: int | None,
    fresh: bool,
) -> Operation:
    """The operation that writes entries and takes others out, all at once.

    Args:
        version: the last one the source gave out, to keep versions and times; None: as new writes.
        fresh: refuse to overwrite: a newer version, or, of new writes, anything.
    """
    living = [entry for entry in entries if entry.expires_in is None or entry.expires_in > 0]
    if version is not None:
        return Restore(name, tuple(living), tuple(gone), version, not fresh)
    if_version = 0 if fresh else None
    writes = [Set(name, entry.key, entry.value, *_life(entry), if_version) for entry in living]
    return Batch(name, (*writes, *([DeleteMany(name, tuple(gone))] if gone else ())))


def _life(entry: Kept) -> tuple[float | None, bool]:
    """The ttl to set. What slides begins its time anew; the others keep what is left of it."""
    return (entry.ttl, True) if entry.sliding else (entry.expires_in, False)
