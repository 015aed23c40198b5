"""`Memory`: what users import. Every method builds one operation and runs it."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from botwire import telemetry
from botwire.batch import Batch
from botwire.errors import Conflict, NotFound
from botwire.handle import Flow, Handle, pages, seconds_left, updating
from botwire.jsontext import encode
from botwire.operations import (
    MISSING,
    Append,
    Clear,
    Delete,
    DeleteMany,
    Entry,
    Exists,
    Expect,
    Expire,
    Get,
    GetMany,
    Head,
    Increment,
    Length,
    Merge,
    Operation,
    Page,
    Persist,
    Pop,
    Read,
    Scan,
    Set,
    SetMany,
    Tail,
    Touch,
    Usage,
    UsageOf,
)
from botwire.operations.checks import listed

if TYPE_CHECKING:
    from botwire.async_memory import AsyncMemory

__all__ = ["Memory"]

PAGE = 1000


class Memory(Handle):
    """What an agent remembers in one namespace: text keys, JSON values, versions, expiry.

    Building one costs nothing and touches nothing. All objects with one address share a
    connection, which is safe to use from threads, after a fork and in copies.

    Args:
        namespace: any text up to 512 bytes of UTF-8 without NUL, such as a user or an agent.
        url: `sqlite:///memory.db` (embedded), `memory://` (this process alone) or the
            `http(s)://` of a server; without it BOTWIRE_URL, then the hosted service.
        api_key: for servers that want one; without it BOTWIRE_API_KEY.
        timeout: seconds an operation may take, repeats included.
        store: a store object instead of an address.

    >>> memory = Memory("agent-1", url="memory://")
    >>> version = memory.set("plan", {"step": 1})
    >>> memory.get("plan")
    {'step': 1}
    """

    def _run(self, operation: Operation) -> Any:
        connection = self._connection or self._connect()
        if telemetry.listening:
            return telemetry.observe(operation, connection)
        return operation.result(connection.run(operation))

    def drive(self, flow: Flow) -> Any:
        """Run a flow: a generator that yields operations and is sent their results.

        It writes what takes several round trips once for both faces. Anything else that it yields
        goes back to it as it is (awaited by `AsyncMemory`), and a `Conflict` is raised in it.
        """
        try:
            step = next(flow)
            while True:
                try:
                    answer = self._run(step) if isinstance(step, Operation) else step
                except Conflict as conflict:
                    step = flow.throw(conflict)
                else:
                    step = flow.send(answer)
        except StopIteration as done:
            return done.value

    # -- one key -------------------------------------------------------------------------------

    def get(self, key: str, default: Any = None) -> Any:
        """The value of `key`, or `default` if it does not exist. A stored None is a value."""
        value = self._run(Get(self.namespace, key))
        return default if value is MISSING else value

    def entry(self, key: str) -> Entry | None:
        """The value of `key` with its version, times and size; None if it does not exist."""
        return self._run(Read(self.namespace, key))

    def head(self, key: str) -> Entry | None:
        """What `entry` says, without the value (its `value` is None) and without renewing a ttl."""
        return self._run(Head(self.namespace, key))

    def set(
        self,
        key: str,
        value: Any,
        *,
        ttl: float | None = None,
        sliding: bool = False,
        if_version: int | None = None,
    ) -> int:
        """Write the value of `key` durably and return its new version.

        Args:
            value: None, bool, int, float, str, or lists and dicts of these; it comes back equal.
            ttl: seconds to live (fractions allowed); without it the entry does not expire.
            sliding: each read starts the ttl anew.
            if_version: write only if the key is at this version (0: only if it does not exist).

        Raises:
            Conflict: the key is at another version; the error carries it and the current value.
            InvalidValue: the value is not JSON; the error names the part that is not.
            QuotaExceeded, TooLarge, StorageFull: nothing was changed.
        """
        return self._run(Set(self.namespace, key, encode(value), ttl, sliding, if_version))

    def delete(self, key: str, *, if_version: int | None = None) -> bool:
        """Delete `key`; True if it existed. `if_version` as for `set`."""
        return self._run(Delete(self.namespace, key, if_version))

    def pop(self, key: str, default: Any = None) -> Any:
        """Delete `key` and return what it held, or `default`."""
        value = self._run(Pop(self.namespace, key))
        return default if value is MISSING else value

    def exists(self, key: str) -> bool:
        """Whether `key` exists. This does not renew a sliding ttl."""
        return self._run(Exists(self.namespace, key))

    def expect(self, key: str, if_version: int) -> int:
        """Raise `Conflict` unless `key` is at this version (0: does not exist); the version.

        In a batch it makes all of it depend on a key that the batch does not change.
        """
        return self._run(Expect(self.namespace, key, if_version))

    def update(
        self,
        key: str,
        function: Callable[[Any], Any],
        default: Any = None,
        *,
        ttl: float | None = None,
        sliding: bool = False,
    ) -> Any:
        """Replace the value by `function(value)` and return it; no other writer's change is lost.

        `function` may run several times, on newer values. The expiry stays unless `ttl` is given.

        >>> memory = Memory("docs", url="memory://")
        >>> memory.update("tags", lambda tags: sorted({*tags, "new"}), default=[])
        ['new']
        """
        return self.drive(updating(self.namespace, key, function, default, ttl, sliding))

    def increment(self, key: str, by: float = 1, *, ttl: float | None = None) -> Any:
        """Add `by` to the number at `key` (0 if missing) and return the sum.

        Raises:
            WrongType: the key holds something else than a number.
        """
        return self._run(Increment(self.namespace, key, encode(by), ttl))

    def append(
        self,
        key: str,
        *items: Any,
        max_items: int | None = None,
        ttl: float | None = None,
        sliding: bool = False,
        if_version: int | None = None,
    ) -> int:
        """Add items to the list at `key` (made if missing) and return its length.

        The cost does not depend on the length of the list. `max_items` keeps the newest ones;
        `ttl` starts the expiry anew, without it the expiry stays.
        """
        texts = tuple(map(encode, items))
        return self._run(Append(self.namespace, key, texts, max_items, ttl, sliding, if_version))

    def tail(self, key: str, count: int) -> list[Any]:
        """The newest `count` items of the list at `key`, oldest first; [] if it does not exist."""
        return self._run(Tail(self.namespace, key, count))

    def length(self, key: str) -> int:
        """How many items the list at `key` has; 0 if it does not exist."""
        return self._run(Length(self.namespace, key))

    def merge(
        self, key: str, patch: Any, *, ttl: float | None = None, if_version: int | None = None
    ) -> int:
        """Change members of the object at `key` and return its version; None removes a member.

        This is JSON Merge Patch (RFC 7396): members that `patch` does not name stay as they are.
        """
        return self._run(Merge(self.namespace, key, encode(patch), ttl, if_version))

    # -- expiry --------------------------------------------------------------------------------

    def ttl(self, key: str) -> float | None:
        """Seconds `key` has left; infinity if it does not expire, None if it does not exist."""
        return seconds_left(self._run(Head(self.namespace, key)))

    def touch(self, key: str, ttl: float | None = None) -> bool:
        """Start the time to live of `key` anew, with another `ttl` if given; True if it exists."""
        return self._run(Touch(self.namespace, key, ttl))

    def persist(self, key: str) -> bool:
        """Let `key` live for ever; True if it exists."""
        return self._run(Persist(self.namespace, key))

    def expire(self, prefix: str, ttl: float) -> int:
        """Give everything under `prefix` this time to live, at one moment; how many keys."""
        return self._run(Expire(self.namespace, prefix, ttl))

    # -- many keys -----------------------------------------------------------------------------

    def get_many(self, keys: Iterable[str]) -> dict[str, Any]:
        """The values of these keys in one round trip; keys that do not exist are left out."""
        return self._run(GetMany(self.namespace, listed(keys)))

    def set_many(
        self, values: Mapping[str, Any], *, ttl: float | None = None, sliding: bool = False
    ) -> dict[str, int]:
        """Write all of these keys or none, in one round trip; their new versions."""
        texts = {key: encode(value) for key, value in values.items()}
        return self._run(SetMany(self.namespace, texts, ttl, sliding))

    def delete_many(self, keys: Iterable[str]) -> int:
        """Delete these keys in one round trip; how many of them existed."""
        return self._run(DeleteMany(self.namespace, listed(keys)))

    def clear(self, prefix: str = "") -> int:
        """Delete everything under `prefix` at one moment; how many keys."""
        return self._run(Clear(self.namespace, prefix))

    def list_keys(self, prefix: str = "") -> list[str]:
        """All keys that start with `prefix`, in code-point order."""
        scan = Scan(self.namespace, prefix, limit=PAGE, values=False)
        return [entry.key for entry in self.drive(pages(scan))]

    def items(self, prefix: str = "") -> Iterator[tuple[str, Any]]:
        """Keys that start with `prefix` with their values, in order; one round trip a page."""
        for entry in self.entries(prefix):
            yield entry.key, entry.value

    def entries(
        self, prefix: str = "", *, values: bool = True, reverse: bool = False
    ) -> Iterator[Entry]:
        """The entries under `prefix` in order of their keys; one round trip a page."""
        scan: Scan | None = Scan(self.namespace, prefix, values=values, reverse=reverse)
        while scan is not None:
            page: Page = self._run(scan)
            yield from page.entries
            scan = scan.after_cursor(page.cursor)

    def page(
        self,
        prefix: str = "",
        *,
        after: str | None = None,
        limit: int = PAGE,
        reverse: bool = False,
        values: bool = True,
        newer_than: int = 0,
    ) -> Page:
        """One page of entries under `prefix`, in one round trip.

        Args:
            after: continue behind this key (before it, when `reverse`); a page's cursor is one.
            limit: at most this many, and never more than 1,000 or about 4 MB of values.
            values: False leaves the values out, which is quicker.
            newer_than: only what changed after this version (see `usage().version`).
        """
        return self._run(Scan(self.namespace, prefix, after, limit, reverse, values, newer_than))

    def batch(self) -> Batch:
        """Several operations that happen together or not at all, in one round trip.

        >>> memory = Memory("docs", url="memory://")
        >>> with memory.batch() as batch:
        ...     batch.set("state", "done", if_version=0)
        ...     batch.increment("runs")
        >>> batch.results[1]
        1
        """
        return Batch(self.namespace, run=self._run)

    def run(self, operation: Operation) -> Any:
        """Run an operation of `botwire.operations` and return its result."""
        return self._run(operation)

    def usage(self) -> UsageOf:
        """What the namespace holds and may hold."""
        return self._run(Usage(self.namespace))

    # -- as a mapping --------------------------------------------------------------------------

    def __getitem__(self, key: str) -> Any:
        value = self._run(Get(self.namespace, key))
        if value is MISSING:
            raise NotFound(f"there is no key {key!r} in {self.namespace!r}", key=key)
        return value

    def __setitem__(self, key: str, value: Any) -> None:
        self.set(key, value)

    def __delitem__(self, key: str) -> None:
        if not self.delete(key):
            raise NotFound(f"there is no key {key!r} in {self.namespace!r}", key=key)

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and self.exists(key)

    def __len__(self) -> int:
        return self.usage().entries

    def __bool__(self) -> bool:
        return True  # an empty memory is still one; `if memory:` must not ask the server

    def __iter__(self) -> Iterator[str]:
        return (entry.key for entry in self.entries(values=False))

    def keys(self) -> Iterator[str]:
        """All keys in order (see `list_keys` for those under a prefix)."""
        return iter(self)

    def values(self) -> Iterator[Any]:
        """All values in order of their keys."""
        return (entry.value for entry in self.entries())

    # -- the other face, and the end -------------------------------------------------------------

    def to_async(self) -> "AsyncMemory":
        """The same memory for asynchronous code."""
        from botwire.async_memory import AsyncMemory  # which takes its documentation from here

        return AsyncMemory(self.namespace, **self._config())

    def close(self) -> None:
        """Give the connection back; files and sockets close with the last that shares them."""
        connection = self._release()
        if connection is not None:
            connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def __getattr__(name: str) -> Any:
    """`from botwire.memory import memory_tools` works once the CrewAI adapter is installed."""
    if name != "memory_tools":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from botwire.adapters import load

    return load("botwire_crewai", "memory_tools", extra="crewai")
