"""What a store is made of: rows, transactions and limits. No rules and no engine stand here.

The rules are in `space.py`, the line of writers in `store.py`; each engine has a file of its own.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple, Protocol

__all__ = ["Chunk", "Escalate", "Ledger", "Limits", "Mode", "Row", "Session", "after_prefix"]


class Row(NamedTuple):
    """One entry as it is stored.

    A list that grew by appending keeps its older items in chunks: `value` then holds only the
    newest items. `head`, `mid` and `end` count items since the list began: the oldest kept, the
    first one in `value`, and one past the newest (0 where nothing was appended yet).
    """

    key: str
    value: str
    version: int
    bytes: int
    created_at: float
    updated_at: float
    expires_at: float | None = None
    ttl: float | None = None
    sliding: int = 0
    head: int = 0
    mid: int = 0
    end: int = 0

    @property
    def chunked(self) -> bool:
        return self.mid > self.head


class Chunk(NamedTuple):
    """Older items of one list: `items` items from number `start`, as JSON joined by commas."""

    start: int
    items: int
    text: str


class Ledger(NamedTuple):
    """What a namespace has used. `version` is the last one given out and never goes back."""

    version: int = 0
    entries: int = 0
    bytes: int = 0
    day: int = 0
    writes: int = 0


@dataclass(frozen=True, slots=True)
class Limits:
    """What a namespace may use. None: no limit.

    Args:
        value_bytes: size of one value as JSON in UTF-8.
        writes_per_day: keys changed in 24 hours.
        namespace_bytes: keys and values together.
    """

    value_bytes: int = 10_000_000
    writes_per_day: int | None = None
    namespace_bytes: int | None = None


class Mode(IntEnum):
    """How much of a transaction an operation needs."""

    POINT = 0  # one row
    SNAPSHOT = 1  # several reads that must agree
    WRITE = 2


class Escalate(Exception):
    """An operation needs `mode`; it has changed nothing yet."""

    def __init__(self, mode: Mode) -> None:
        self.mode = mode


class Session(Protocol):
    """One transaction on an engine: rows in, rows out. Every call names its namespace."""

    def glance(self, namespace: str, key: str) -> tuple[str, int, float | None, int] | None:
        """(value, version, expires_at, special) of a row.

        Special: there is more to reading it, because it is sliding, has chunks, or is too large to
        be read in passing (its value is then '').
        """
        ...

    def row(self, namespace: str, key: str) -> Row | None: ...
    def rows(self, namespace: str, keys: Sequence[str]) -> list[Row]: ...
    def scan(
        self,
        namespace: str,
        first: str,
        last: str | None,
        *,
        exclusive: bool,
        limit: int,
        reverse: bool,
        newer_than: int,
        now: float,
        values: bool,
    ) -> list[Row]:
        """Rows alive at `now` with first <= key < last in order; `exclusive`: first < key.

        Without `values` the rows' values are '' and need not be read.
        """
        ...

    def chunks(self, namespace: str, key: str, first: int, last: int) -> list[Chunk]:
        """The chunks that hold any item from `first` up to, not including, `last`; in order."""
        ...

    def ledger(self, namespace: str) -> Ledger | None: ...
    def expired(self, now: float, limit: int, namespace: str | None) -> list[tuple[str, Row]]: ...
    def expired_size(self, namespace: str, now: float) -> tuple[int, int]:
        """(entries, bytes of keys and values) that are expired and not swept yet."""
        ...

    def recall(self, namespace: str, idempotency_key: str) -> tuple[str, str] | None: ...
    def namespaces(self, after: str, limit: int) -> list[str]: ...

    def save_rows(self, namespace: str, rows: Mapping[str, Row | None]) -> None:
        """Give rows new states, by key; None: remove it."""
        ...

    def save_chunk(self, namespace: str, key: str, chunk: Chunk) -> None: ...
    def remove_chunks(self, namespace: str, key: str, before: int | None) -> None:
        """Remove the chunks that start before item number `before`; None: all."""
        ...

    def save_ledger(self, namespace: str, ledger: Ledger) -> None: ...
    def remember(
        self, namespace: str, idempotency_key: str, fingerprint: str, reply: str, until: float
    ) -> None: ...
    def forget_replies(self, now: float, limit: int) -> int:
        """Remove the oldest replies, if they are expired; how many it were."""
        ...

    def savepoint(self) -> AbstractContextManager[None]:
        """What happens inside is undone when it raises."""
        ...


def after_prefix(prefix: str) -> str | None:
    """The first text in code-point order behind everything that starts with `prefix`.

    >>> after_prefix("user:")
    'user;'
    """
    for position in range(len(prefix) - 1, -1, -1):
        code = ord(prefix[position])
        if code < 0x10FFFF:
            following = 0xE000 if code == 0xD7FF else code + 1  # surrogates are no text
            return prefix[:position] + chr(following)
    return None
