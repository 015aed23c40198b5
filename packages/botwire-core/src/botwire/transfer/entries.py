"""An entry on its way, and the operations by which stores give and take it whole."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from botwire.errors import Conflict
from botwire.jsontext import Json, write
from botwire.operations import Operation
from botwire.stores.base import Ledger, Mode, Row
from botwire.stores.lists import size

if TYPE_CHECKING:
    from botwire.stores.space import Space

__all__ = ["Digest", "Kept", "Peek", "Restore"]

PAGE = 1000
PAGE_BYTES = 4_000_000  # a page of values ends after about this many


class Kept(NamedTuple):
    """Everything about an entry. `expires_in`: seconds it had left when it was read."""

    key: str
    value: Json
    version: int
    created_at: float
    updated_at: float
    ttl: float | None = None
    expires_in: float | None = None
    sliding: bool = False


@dataclass(frozen=True, slots=True)
class Peek(Operation):
    """A page of entries as they are: looking at them renews nothing."""

    name = "peek"
    after: str | None = None
    values: bool = True
    needs = Mode.SNAPSHOT

    def apply(self, space: "Space") -> tuple[list[Kept], str | None]:
        rows = space.scan("", self.after, PAGE + 1, values=self.values)
        page: list[Kept] = []
        left = PAGE_BYTES
        for row in rows[:PAGE]:
            page.append(_kept(space, row, self.values))
            left -= row.bytes if self.values else 0
            if left <= 0:
                break
        return page, page[-1].key if len(page) < len(rows) else None

    def result(self, reply: Any) -> Any:
        return reply


def _kept(space: "Space", row: Row, values: bool) -> Kept:
    return Kept(
        key=row.key,
        value=space.text(row) if values else Json("null"),
        version=row.version,
        created_at=row.created_at,
        updated_at=row.updated_at,
        ttl=row.ttl,
        expires_in=None if row.expires_at is None else row.expires_at - space.now,
        sliding=bool(row.sliding),
    )


@dataclass(frozen=True, slots=True)
class Restore(Operation):
    """Put entries back as they were elsewhere, and take others out; no quota, no new version.

    It counts as one write, since every change shows in the ledger. Versions up to `version` count
    as given out, so that none of them is ever given again. A newer state of an entry is overwritten
    only with `force`.
    """

    name = "restore"
    entries: tuple[Kept, ...] = ()
    gone: tuple[str, ...] = ()
    version: int = 0
    force: bool = False
    needs = Mode.WRITE

    @property
    def keys(self) -> Sequence[str]:
        return [*self.gone, *(entry.key for entry in self.entries)]

    def apply(self, space: "Space") -> None:
        space.flush()
        session, name = space.session, space.name
        old = session.rows(name, self.keys)
        new = [_row(entry, space.now) for entry in self.entries]
        if not self.force:
            alive = [row for row in old if row.expires_at is None or row.expires_at > space.now]
            _refuse_newer(alive, {row.key: row.version for row in new})
        for row in old:
            if row.chunked:
                session.remove_chunks(name, row.key, None)
        states: dict[str, Row | None] = dict.fromkeys(self.gone)
        session.save_rows(name, states | {row.key: row for row in new})
        ledger = session.ledger(name) or Ledger()
        more = sum(map(_weight, new)) - sum(map(_weight, old))
        session.save_ledger(
            name,
            ledger._replace(
                version=max(ledger.version, self.version, *(row.version for row in new), 0),
                entries=ledger.entries + len(new) - len(old),
                bytes=ledger.bytes + more,
                writes=ledger.writes + 1,  # whoever knows the ledger sees that something changed
            ),
        )
        space.forget()

    def result(self, reply: Any) -> None:
        return None


def _refuse_newer(old: Sequence[Row], versions: dict[str, int]) -> None:
    for row in old:
        if row.version > versions.get(row.key, row.version):
            raise Conflict(
                f"{row.key!r} is at version {row.version}, newer than the one to be put back",
                hint="Choose an empty home, or say that it is to be overwritten.",
                key=row.key,
                expected=versions[row.key],
                current_version=row.version,
            )


def _row(entry: Kept, now: float) -> Row:
    """The row of an entry. A list is kept whole; appending to it makes chunks again."""
    return Row(
        key=entry.key,
        value=entry.value,
        version=entry.version,
        bytes=size(entry.value),
        created_at=entry.created_at,
        updated_at=entry.updated_at,
        expires_at=None if entry.expires_in is None else now + entry.expires_in,
        ttl=entry.ttl,
        sliding=int(entry.sliding),
    )


def _weight(row: Row) -> int:
    return size(row.key) + row.bytes


class Digest:
    """Count and checksum of entries in order; those that expire are counted apart.

    Two homes hold the same when both agree. What expires may do so between two readings and is
    therefore compared one by one, not here.
    """

    def __init__(self, *, exact: bool) -> None:
        self._exact = exact
        self._hash = hashlib.sha256()
        self.entries = 0
        self.expiring = 0

    def add(self, entry: Kept) -> None:
        """Take one more entry into account."""
        if entry.expires_in is not None:
            self.expiring += 1
        else:
            self.entries += 1
            self._hash.update(write(identity(entry, exact=self._exact)).encode() + b"\n")

    @property
    def checksum(self) -> str:
        return self._hash.hexdigest()


def identity(entry: Kept, *, exact: bool) -> list[Any]:
    """What makes two entries the same; with `exact` also their versions and times."""
    plain = [entry.key, entry.value, entry.sliding, entry.expires_in is None]
    return [*plain, entry.version, entry.created_at, entry.updated_at] if exact else plain
