"""Keeps an `Index` in step with the namespace that holds its records.

- Before a question the mirror asks for the namespace's version: one small request. Only when
  something changed it fetches what is newer, in a second one.
- Deletions leave no newer entry behind. So whoever deletes records writes down which ones, in a
  list of the latest. What expires is known beforehand.
- All keys are known, and when there are fewer of them than known, all keys are listed: in the
  second request where the list of deletions cannot have all of them, and in a third one only where
  somebody went past this package and deleted entries while others were written.
- What this process writes it enters itself, when nobody else wrote in between.
- A question that waited while another fetched uses what was fetched, if that began after it came.

Keys: `records/<id>`, `seen/<id>` (when it was last recalled; apart, so that a recall does not write
vectors), `dimension` (of all vectors), and `gone/records` (deleted lately, each with the version it
had; it sorts before what was saved again since). Other keys in the namespace are left alone.
"""

import math
import threading
import time
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from copy import copy
from typing import Any, NamedTuple

from botwire import Entry, Memory, Page
from botwire.jsontext import decode
from botwire.operations import (
    Append,
    Batch,
    Clear,
    Delete,
    Head,
    Operation,
    Read,
    Scan,
    Set,
    Usage,
    UsageOf,
)
from botwire_crewai.index import Index

__all__ = ["DIMENSION", "GONE", "GONE_KEPT", "RECORDS", "SEEN", "Dimension", "Mirror"]

RECORDS, SEEN, DIMENSION, GONE = "records/", "seen/", "dimension", "gone/records"
GONE_KEPT = 500  # deletions that are remembered; about 25 KB
LISTED = 500  # known keys a page of a listing is asked for; half of what it holds, for new ones


class Dimension(NamedTuple):
    """How many numbers the vectors have, and the version of the key that says so."""

    size: int
    version: int


class Mirror:
    """The records of a namespace, as they are now."""

    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self._lock = threading.RLock()
        self._began = -math.inf
        self._forget()

    def _forget(self) -> None:
        self.index = Index()
        self.dimension: Dimension | None = None
        self._version = 0
        self._keys: set[str] = set()
        self._ends: dict[str, float] = {}  # keys that expire, and when, by this process's clock

    @contextmanager
    def fresh(self) -> Generator[Index]:
        """The index as it is at some moment after the call."""
        came = time.monotonic()
        with self._lock:
            if self._began < came:
                self.refresh()
            yield self.index

    @contextmanager
    def stale(self) -> Generator[Index]:
        """The index as it was when last asked; loaded if it never was."""
        with self._lock:
            if self._began == -math.inf:
                self.refresh()
            yield self.index

    def refresh(self) -> None:
        """Fetch what changed."""
        began = time.monotonic()
        usage: UsageOf = self.memory.usage()
        overdue = [key for key, end in self._ends.items() if end <= began]
        if overdue or (usage.version, usage.entries) != (self._version, len(self._keys)):
            self._fetch(usage, overdue)
        self._began = began

    # -- what others wrote -----------------------------------------------------------------------

    def _fetch(self, usage: UsageOf, overdue: Sequence[str]) -> None:
        sent = time.monotonic()
        space = self.memory.namespace
        newer = Scan(space, newer_than=self._version)
        heads = [Head(space, key) for key in overdue]
        listing = self._listing() if self._needs_listing(usage, len(overdue)) else []
        asked = (Usage(space), Read(space, DIMENSION), newer, *heads, *listing)
        now, dimension, page, *others = self.memory.run(Batch(space, asked))
        emptied = self._emptied(dimension)
        if emptied:
            self._forget()  # and all there is was written since, so it is on the page of newer ones
        self.index.expected = now.entries
        self._enter_all(newer, page, sent)
        for key, head in zip(overdue, others[: len(heads)], strict=True):
            self._expires(key, head, sent)
        if listing:
            self._keep_only(listing, others[len(heads) :], sent)
        elif now.entries < len(self._keys):
            listing = self._listing()
            self._keep_only(listing, self.memory.run(Batch(space, tuple(listing))), sent)
        elif emptied and now.entries > len(self._keys):  # but for other keys in the namespace
            self._forget()
            self._fetch(now, ())
            return
        self._version = now.version

    def _needs_listing(self, usage: UsageOf, overdue: int) -> bool:
        """Whether keys may be gone that are not among the deletions written down."""
        changes = usage.version - self._version  # each write and each deletion is one
        added = usage.entries - (len(self._keys) - overdue)
        if added < 0 and changes <= -added:  # expired sooner, which is no change, or deleted
            return True  # and nothing else was written: no list of what is gone, either
        return bool(self._keys) and changes > GONE_KEPT and changes != added

    def _emptied(self, dimension: Entry | None) -> bool:
        """Whether somebody reset the memory (and perhaps began again with another embedder)."""
        return self.dimension is not None and (
            dimension is None or dimension.version != self.dimension.version
        )

    def _enter_all(self, scan: Scan, page: Page, sent: float) -> None:
        following: Scan | None = scan
        while following is not None:
            for entry in page.entries:
                self._enter(entry.key, entry.value, entry.version)
                self._expires(entry.key, entry, sent)
            following = following.after_cursor(page.cursor)
            if following is not None:
                page = self.memory.run(following)

    def _expires(self, key: str, entry: Entry | None, sent: float) -> None:
        """Note when a key ends. Counted from the sending, so never later than it really does."""
        if entry is None:
            self._leave(key)
        elif entry.expires_in is None:
            self._ends.pop(key, None)
        else:
            self._ends[key] = sent + entry.expires_in

    def _listing(self) -> list[Scan]:
        space = self.memory.namespace
        starts = [None, *sorted(self._keys)[LISTED - 1 :: LISTED]]
        return [Scan(space, after=start, values=False) for start in starts]

    def _keep_only(self, listing: Sequence[Scan], pages: Sequence[Page], sent: float) -> None:
        found: dict[str, Entry] = {}
        ends = [*(scan.after for scan in listing[1:]), None]
        for scan, page, end in zip(listing, pages, ends, strict=True):
            for entry in self._until(scan, page, end):
                found[entry.key] = entry
        for key in [*self._keys]:
            self._expires(key, found.get(key), sent)

    def _until(self, scan: Scan, page: Page, end: str | None) -> Iterable[Entry]:
        """The entries of a listing's page, and more pages if it does not reach the next one."""
        yield from page.entries
        while page.cursor is not None and (end is None or page.cursor < end):
            following = scan.after_cursor(page.cursor)
            page = self.memory.run(following) if following else page
            yield from page.entries

    # -- what this process writes ----------------------------------------------------------------

    def write(self, *operations: Operation) -> list[Any]:
        """Do all of these (`Set`, `Delete`, `Append`, `Expect`) or none; the results."""
        usage = Usage(self.memory.namespace)
        with self._lock:
            sent = time.monotonic()
            batch = Batch(self.memory.namespace, (usage, *operations, usage))
            before, *results, after = self.memory.run(batch)
            if before.version == self._version:
                for operation, result in zip(operations, results, strict=True):
                    self._done(operation, result, sent)
                self._version = after.version
            return results

    def reset(self) -> None:
        """Delete all records."""
        space = self.memory.namespace
        with self._lock:
            prefixes = [Clear(space, prefix) for prefix in (RECORDS, SEEN)]
            keys = [Delete(space, key) for key in (GONE, DIMENSION)]
            self.memory.run(Batch(space, (*prefixes, *keys)))
            self._forget()

    def read_dimension(self) -> None:
        """Ask for the dimension alone, without loading the records."""
        with self._lock:
            found = self.memory.entry(DIMENSION)
            if self._emptied(found):
                self._forget()
            self.dimension = found and Dimension(found.value, found.version)

    def seconds_left(self, key: str) -> float | None:
        """How long a key lives, as far as is known here; None: for ever."""
        end = self._ends.get(key)
        return None if end is None else max(end - time.monotonic(), 0.001)

    def close(self) -> None:
        """Give the connection back; the next use takes another."""
        with self._lock:
            former, self.memory = self.memory, copy(self.memory)
            former.close()

    def _done(self, operation: Operation, result: Any, sent: float) -> None:
        if isinstance(operation, Delete):
            self._leave(operation.key)
        elif isinstance(operation, Append):
            self._keys.add(operation.key)
        elif isinstance(operation, Set):
            self._enter(operation.key, decode(operation.value), result)
            if operation.ttl is not None:
                self._ends[operation.key] = sent + operation.ttl
            elif not operation.keep_ttl:
                self._ends.pop(operation.key, None)

    # -- one key -----------------------------------------------------------------------------------

    def _enter(self, key: str, value: Any, version: int) -> None:
        self._keys.add(key)
        if key.startswith(RECORDS):
            self.index.put(key[len(RECORDS) :], value, version)
        elif key.startswith(SEEN):
            self.index.saw(key[len(SEEN) :], value)
        elif key == DIMENSION:
            self.dimension = Dimension(value, version)
        elif key == GONE:
            for record_id, at in value:
                self._went(record_id, at)

    def _went(self, record_id: str, version: int) -> None:
        """The record was deleted when it had this version (and may have been saved again)."""
        if self.index.version(record_id) <= version:
            self._leave(RECORDS + record_id)
            self._leave(SEEN + record_id)

    def _leave(self, key: str) -> None:
        self._keys.discard(key)
        self._ends.pop(key, None)
        if key.startswith(RECORDS):
            self.index.drop(key[len(RECORDS) :])
        elif key.startswith(SEEN):
            self.index.unsee(key[len(SEEN) :])
        elif key == DIMENSION:
            self.dimension = None
