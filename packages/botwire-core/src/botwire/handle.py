"""What `Memory` and `AsyncMemory` are before they do anything, and the flows they share.

A flow is an operation of several round trips, written once as a generator: it yields operations and
receives their results, and each face drives it in its own way.
"""

import math
import os
import weakref
from collections.abc import Callable, Generator
from copy import deepcopy
from typing import Any, Self

from botwire.errors import Closed, Conflict, InvalidRequest
from botwire.jsontext import encode
from botwire.operations import Entry, Page, Read, Scan, Set, Usage
from botwire.runners import (
    Connection,
    LocalConnection,
    connect,
    default_url,
    drop,
    public_url,
    release,
)
from botwire.stores.store import Store

__all__ = ["Flow", "Handle", "pages", "seconds_left", "updating"]

CONTESTED = 1000  # compare-and-set attempts before update() gives up

Flow = Generator[Any, Any, Any]


class Handle:
    """What both faces are: an address, a namespace, and from the first operation a connection."""

    def __init__(
        self,
        namespace: str,
        *,
        url: str | None = None,
        api_key: str | None = None,
        timeout: float = 30.0,
        store: Store | None = None,
    ) -> None:
        Usage(namespace)  # refuses a name that cannot be one, here rather than at the first use
        if not isinstance(timeout, (int, float)) or not timeout > 0:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidRequest(f"timeout must be a number of seconds above 0, not {timeout!r}")
        if url is not None and not isinstance(url, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidRequest(
                f"url must be text, not {type(url).__name__}",
                hint="A file is named as f'sqlite:///{path}'.",
            )
        self.namespace = namespace
        self.url = url or default_url()
        self.timeout = timeout
        self._api_key = api_key
        self._store = store
        self._connection: Connection | None = LocalConnection(store) if store else None
        self._closed = False
        self._shares: list[weakref.finalize[..., Any]] = []  # several if threads begin at once

    def _connect(self) -> Connection:
        if self._closed:
            raise Closed(
                f"this {type(self).__name__} of {self.namespace!r} was closed",
                hint="Make a new one; it costs nothing.",
            )
        connection = connect(
            self.url, self._api_key or os.environ.get("BOTWIRE_API_KEY"), self.timeout
        )
        # A handle that is dropped without being closed gives its share of the connection back, too.
        self._shares.append(weakref.finalize(self, drop, connection))
        self._connection = connection
        return connection

    def _release(self) -> Connection | None:
        """Give the connection back; returns it if it is to be closed."""
        self._connection, self._closed = None, True
        last: Connection | None = None
        while self._shares:
            share = self._shares.pop().detach()
            if share is not None and release(share[2][0]):
                last = share[2][0]
        return last

    def _config(self) -> dict[str, Any]:
        return {
            "url": self.url,
            "api_key": self._api_key,
            "timeout": self.timeout,
            "store": self._store,
        }

    def namespaced(self, namespace: str) -> Self:
        """The memory of another namespace at the same place.

        >>> from botwire import Memory
        >>> Memory("alice", url="memory://").namespaced("bob").namespace
        'bob'
        """
        return type(self)(namespace, **self._config())

    def __copy__(self) -> Self:
        return self.namespaced(self.namespace)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self.namespaced(self.namespace)

    def __reduce__(self) -> tuple[Any, ...]:
        if self._store is not None:
            raise TypeError(
                "a Memory made with store= cannot be pickled; make it with url= instead"
            )
        # An API key is a secret and never leaves the process; the other side has BOTWIRE_API_KEY.
        return _revive, (type(self), self.namespace, self.url, self.timeout)

    def __repr__(self) -> str:
        place = f"store={self._store!r}" if self._store else f"url={public_url(self.url)!r}"
        return f"{type(self).__name__}({self.namespace!r}, {place})"


def _revive(kind: type[Handle], namespace: str, url: str, timeout: float) -> Handle:
    return kind(namespace, url=url, timeout=timeout)


def pages(scan: Scan) -> Flow:
    entries: list[Entry] = []
    while True:
        page: Page = yield scan
        entries += page.entries
        following = scan.after_cursor(page.cursor)
        if following is None:
            return entries
        scan = following


def updating(
    namespace: str,
    key: str,
    function: Callable[[Any], Any],
    default: Any,
    ttl: float | None,
    sliding: bool,
) -> Flow:
    """Compare-and-set until nobody was faster; a lost race brings the newer value with it."""
    entry: Entry | None = yield Read(namespace, key)
    # Copies of the default: the function may change what it is given, and may be called again.
    value, version = (deepcopy(default), 0) if entry is None else (entry.value, entry.version)
    for attempt in range(CONTESTED):
        new = yield function(value)
        try:
            yield Set(namespace, key, encode(new), ttl, sliding, version, ttl is None)
            return new
        except Conflict as conflict:
            if attempt + 1 == CONTESTED:
                raise
            version = conflict.current_version
            value = conflict.current_value if version else deepcopy(default)


def seconds_left(entry: Entry | None) -> float | None:
    if entry is None:
        return None
    return math.inf if entry.expires_in is None else entry.expires_in
