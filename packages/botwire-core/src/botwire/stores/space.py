"""The rules of one namespace inside one transaction. Every store shares them.

- An expired row does not exist, for anyone, from the instant it expires.
- Every change takes the next version of the namespace; versions are never given out twice.
- Everything is checked before anything is staged, so an operation that fails leaves nothing behind.
- Changes are staged and written together by `flush`; reads that go past single keys flush first.
- One changed key is one write; what changes nothing costs nothing.
"""

import zlib
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from typing import NoReturn

from botwire.errors import Conflict, QuotaExceeded, TooLarge, WrongType
from botwire.jsontext import Json, elements, kind_of
from botwire.stores.base import Chunk, Escalate, Ledger, Limits, Mode, Row, Session, after_prefix
from botwire.stores.lists import grown_by, sealed, size, trimmed

__all__ = ["Space", "size"]

DAY = 86400


class Space:
    """One namespace as one transaction sees it."""

    __slots__ = (
        "_day",
        "_ledger",
        "_ledger_old",
        "_part",
        "_rows",
        "_staged",
        "_undoable",
        "limits",
        "mode",
        "name",
        "now",
        "session",
    )

    def __init__(self, session: Session, name: str, mode: Mode, now: float, limits: Limits) -> None:
        self.session = session
        self.name = name
        self.mode = mode
        self.now = now
        self.limits = limits
        self._rows: dict[str, Row | None] = {}
        self._staged: dict[str, Row | None] = {}
        self._ledger: Ledger | None = None
        self._ledger_old: Ledger | None = None
        self._part: ExitStack | None = None  # the changes under way that happen together
        self._day: int | None = None  # its number today
        self._undoable = False  # whether a savepoint stands before them

    # -- reading -------------------------------------------------------------------------------

    def raw(self, key: str) -> Row | None:
        """The row, expired or not."""
        if key not in self._rows:
            self._rows[key] = self.session.row(self.name, key)
        return self._rows[key]

    def load(self, keys: Sequence[str]) -> None:
        """Read many rows at once; `raw` then answers from memory."""
        missing = [key for key in dict.fromkeys(keys) if key not in self._rows]
        self._rows.update(dict.fromkeys(missing))
        self._rows.update((row.key, row) for row in self.session.rows(self.name, missing))

    def row(self, key: str) -> Row | None:
        """The row if it exists now."""
        row = self.raw(key)
        return row if self._alive(row) else None

    def _alive(self, row: Row | None) -> bool:
        return row is not None and (row.expires_at is None or row.expires_at > self.now)

    def read(self, key: str) -> Row | None:
        """The row if it exists now; a sliding one lives on from this moment."""
        row = self.row(key)
        return self.renew(row) if row is not None and row.sliding else row

    def renew(self, row: Row) -> Row:
        """Let a sliding row live its whole ttl again. Neither a new version nor a write."""
        self.need(Mode.WRITE)
        return self._stage(row._replace(expires_at=self.now + (row.ttl or 0.0)))

    def need(self, mode: Mode) -> None:
        if self.mode < mode:
            raise Escalate(mode)

    def text(self, row: Row) -> Json:
        """The whole value, as it was written."""
        if not row.chunked:
            return Json(row.value)
        return Json(f"[{self._items_text(row, row.head)}]")

    def _items_text(self, row: Row, first: int) -> str:
        """The items from number `first` on (and perhaps some before it in the same chunk)."""
        newest = row.value[1:-1]
        if first >= row.mid:
            return newest
        self.need(Mode.SNAPSHOT)
        parts = [chunk.text for chunk in self.session.chunks(self.name, row.key, first, row.mid)]
        return ",".join([*parts, newest] if newest else parts)

    def tail(self, row: Row, count: int) -> list[Json]:
        """The newest `count` items of a list, oldest first."""
        self._must_be_list(row)
        if count <= 0:
            return []
        if not row.chunked:
            return elements(row.value)[-count:]
        first = max(row.head, row.end - count)
        return elements(f"[{self._items_text(row, first)}]")[-count:]

    def length(self, row: Row) -> int:
        """How many items a list has."""
        self._must_be_list(row)
        return row.end - row.head if row.end else len(elements(row.value))

    def scan(
        self,
        prefix: str,
        after: str | None,
        limit: int,
        *,
        reverse: bool = False,
        newer_than: int = 0,
        values: bool = True,
    ) -> list[Row]:
        """Rows that exist now under a prefix, in code-point order (or against it).

        Without `values` the rows hold none and may be looked at and removed, but not changed.
        """
        self.flush()
        first, last, exclusive = prefix, after_prefix(prefix), False
        if after is not None and reverse:
            last = after if last is None else min(after, last)
        elif after is not None and after >= prefix:
            first, exclusive = after, True
        return self.session.scan(
            self.name,
            first,
            last,
            exclusive=exclusive,
            limit=limit,
            reverse=reverse,
            newer_than=newer_than,
            now=self.now,
            values=values,
        )

    # -- what was used -------------------------------------------------------------------------

    @property
    def ledger(self) -> Ledger:
        if self._ledger is None:
            self._ledger = self._ledger_old = self.session.ledger(self.name) or Ledger()
        return self._ledger

    def used(self) -> tuple[int, int]:
        """(entries, bytes) that exist now."""
        self.flush()
        entries, used = self.session.expired_size(self.name, self.now)
        return self.ledger.entries - entries, self.ledger.bytes - used

    def today(self) -> tuple[int, int, float]:
        """(day number, writes made in it, seconds until it ends).

        Each namespace's day begins at a moment of its own, so that quotas do not all end at once.
        """
        return *self._writes(self.ledger), DAY - self._moment() % DAY

    def _writes(self, ledger: Ledger) -> tuple[int, int]:
        """(day number, writes made in it)."""
        if self._day is None:
            self._day = int(self._moment() // DAY)
        return (self._day, 0) if self._day > ledger.day else (ledger.day, ledger.writes)

    def _moment(self) -> float:
        """Seconds since day number 0 of this namespace began."""
        return self.now + zlib.crc32(self.name.encode()) % DAY

    def _charge(self, old: Row | None, key: str, bytes_: int) -> None:
        """Refuse what would go over a limit. Nothing is staged before this."""
        limits = self.limits
        if bytes_ > limits.value_bytes:
            raise TooLarge(
                f"the value of {key!r} has {bytes_:,} bytes; the limit is {limits.value_bytes:,}",
                hint="Split it over several keys, or append with max_items.",
                limit=limits.value_bytes,
            )
        self._charge_write()
        if limits.namespace_bytes is not None:
            self._charge_bytes(bytes_ + size(key), old, limits.namespace_bytes)

    def _charge_write(self) -> None:
        limit = self.limits.writes_per_day
        if limit is None:
            return
        _, writes, reset = self.today()
        if writes >= limit:
            self._quota(
                "writes", limit, writes, f"has made {writes:,} of {limit:,} writes today", reset
            )

    def _charge_bytes(self, wanted: int, old: Row | None, limit: int) -> None:
        more = wanted - (_weight(old) if self._alive(old) else 0)
        if more <= 0 or self.ledger.bytes + wanted - _weight(old) <= limit:
            return
        _, used = self.used()
        if used + more > limit:
            state = f"holds {used:,} of {limit:,} bytes and would need {more:,} more"
            self._quota("storage", limit, used, state, None)

    def _quota(
        self, policy: str, limit: int, used: int, state: str, reset: float | None
    ) -> NoReturn:
        wait = "" if reset is None else f"; it resets in {_duration(reset)}"
        raise QuotaExceeded(
            f"namespace {self.name!r} {state}{wait}",
            hint="Delete what is no longer needed, or run your own server: botwire serve",
            policy=policy,
            limit=limit,
            used=used,
            reset_s=None if reset is None else int(reset) + 1,
        )

    # -- changing ------------------------------------------------------------------------------

    def check(self, key: str, row: Row | None, if_version: int | None) -> None:
        """Refuse the change when the key is not at `if_version` (0: it must not exist)."""
        current = 0 if row is None else row.version
        if if_version is None or if_version == current:
            return
        state = f"is at version {current}" if row else "does not exist"
        wanted = (
            f"version {if_version} was expected" if if_version else "it was expected not to exist"
        )
        raise Conflict(
            f"{key!r} {state}, but {wanted}",
            hint="Read it again and decide anew, or use update(key, fn), which does that for you.",
            key=key,
            expected=if_version,
            current_version=current,
            current_value=None if row is None else self.text(row),
        )

    def put(self, key: str, value: str, *, ttl: float | None = None, sliding: bool = False) -> Row:
        """Write the whole value of a key. Without ttl it does not expire."""
        old = self.raw(key)
        bytes_ = size(value)
        self._charge(old, key, bytes_)
        self._drop_chunks(old)
        expires_at = None if ttl is None else self.now + ttl
        version, created = self._enter(old, key, bytes_)
        return self._stage(
            Row(key, value, version, bytes_, created, self.now, expires_at, ttl, int(sliding))
        )

    def revise(self, row: Row, value: str, ttl: float | None) -> Row:
        """Write the value of an existing key and keep its expiry, unless a ttl starts it anew."""
        expiry = (row.ttl, row.expires_at) if ttl is None else (ttl, self.now + ttl)
        bytes_ = size(value)
        self._charge(row, row.key, bytes_)
        self._drop_chunks(row)
        plain = row._replace(value=value, bytes=bytes_, head=0, mid=0, end=0)
        return self._change(row, plain._replace(ttl=expiry[0], expires_at=expiry[1]))

    def set_expiry(self, row: Row, ttl: float | None) -> None:
        """Give an existing key another time to live, counted from now. The version stays."""
        self._charge_write()
        expires_at = None if ttl is None else self.now + ttl
        sliding = row.sliding if ttl is not None else 0
        self._book(0)
        self._stage(row._replace(ttl=ttl, expires_at=expires_at, sliding=sliding))

    def remove(self, row: Row) -> None:
        """Delete an existing key. It counts as one write."""
        self._charge_write()
        self._book(1)
        self.discard(row)

    def discard(self, row: Row) -> None:
        """Take a row out without counting it (the sweeper's way)."""
        self._drop_chunks(row)
        self._rows[row.key] = self._staged[row.key] = None
        ledger = self.ledger
        self._ledger = ledger._replace(
            entries=ledger.entries - 1, bytes=ledger.bytes - _weight(row)
        )

    def append(
        self,
        key: str,
        items: Sequence[str],
        max_items: int | None,
        ttl: float | None,
        sliding: bool,
    ) -> Row:
        """Add items to the end of a list (made if missing); keep the newest `max_items`.

        Costs the same for the ten-thousandth item as for the first: only the row with the newest
        items is written again.
        """
        row = self.row(key)
        old = self.raw(key)
        base = row or Row(key, "[]", 0, 2, self.now, self.now)
        self._must_be_list(base)
        if row is None:
            self._drop_chunks(old)
        grown, chunks = sealed(grown_by(base, items))
        dropped: int | None = None
        if max_items is not None and grown.end - grown.head > max_items:
            head = grown.end - max_items
            stored = self._stored(base, min(head, grown.mid))
            grown, chunks = trimmed(grown, head, stored, chunks)
            dropped = head if stored else None
        self._charge(old, key, grown.bytes)
        if dropped is not None:
            self._changing().remove_chunks(self.name, key, dropped)
        for chunk in chunks:
            self._changing().save_chunk(self.name, key, chunk)
        if ttl is not None:
            grown = grown._replace(ttl=ttl, expires_at=self.now + ttl, sliding=int(sliding))
        return self._change(old, grown)

    def _stored(self, row: Row, last: int) -> list[Chunk]:
        """The chunks that hold items before number `last`."""
        return self.session.chunks(self.name, row.key, row.head, last) if row.chunked else []

    @staticmethod
    def _must_be_list(row: Row) -> None:
        if not row.value.startswith("["):
            raise WrongType(
                f"{row.key!r} holds a value of type {kind_of(row.value)}, not a list",
                hint="Use another key for the list, or set this one to [] first.",
            )

    def _drop_chunks(self, row: Row | None) -> None:
        if row is not None and row.chunked:
            self._changing().remove_chunks(self.name, row.key, None)

    def _change(self, old: Row | None, new: Row) -> Row:
        """Stage a new state of a key."""
        version, created = self._enter(old, new.key, new.bytes)
        return self._stage(new._replace(version=version, created_at=created, updated_at=self.now))

    def _enter(self, old: Row | None, key: str, bytes_: int) -> tuple[int, float]:
        """Enter a new state of a key into the ledger: the next version, one write, its size.

        Returns its version, and when the key was created.
        """
        if old is None:
            return self._book(1, 1, size(key) + bytes_), self.now
        created = old.created_at if self._alive(old) else self.now
        return self._book(1, 0, bytes_ - old.bytes), created

    def _book(self, versions: int, entries: int = 0, bytes_: int = 0) -> int:
        """Enter one write into the ledger; the version that it has."""
        old = self.ledger
        day, writes = self._writes(old)
        version = old.version + versions
        self._ledger = Ledger(version, old.entries + entries, old.bytes + bytes_, day, writes + 1)
        return version

    def _stage(self, row: Row) -> Row:
        self._rows[row.key] = self._staged[row.key] = row
        return row

    @contextmanager
    def all_or_nothing(self) -> Generator[None]:
        """Several changes that happen together: when one fails, none is left."""
        if self._part is not None:  # the block around this one is undone as a whole
            yield
            return
        self.flush()
        try:
            with ExitStack() as self._part:
                yield
        except BaseException:
            self.forget()
            raise
        finally:
            self._part, self._undoable = None, False

    def _changing(self) -> Session:
        """The session, to change something in it.

        What is only staged is undone by forgetting it. So most blocks need no savepoint, and the
        others get theirs here, before their first change.
        """
        if self._part is not None and not self._undoable:
            self._part.enter_context(self.session.savepoint())
            self._undoable = True
        return self.session

    def forget(self) -> None:
        """Look at everything anew: it was changed past this object."""
        self._rows.clear()
        self._staged.clear()
        self._ledger = self._ledger_old = None

    def flush(self) -> None:
        """Write what is staged."""
        if self._staged:
            self._changing().save_rows(self.name, self._staged)
            self._staged.clear()
        if self._ledger is not self._ledger_old and self._ledger is not None:
            self._changing().save_ledger(self.name, self._ledger)
            self._ledger_old = self._ledger


def _weight(row: Row | None) -> int:
    return 0 if row is None else size(row.key) + row.bytes


def _duration(seconds: float) -> str:
    hours, minutes = divmod(int(seconds) // 60 + 1, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
