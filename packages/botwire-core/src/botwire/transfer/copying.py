"""Bringing one home up to another: what is missing is written, then both are compared.

Entries are read in order from both sides and joined by key, so nothing is kept in memory and a copy
that was broken off goes on where it was: what is there already is passed over.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from botwire.errors import Conflict
from botwire.jsontext import Json
from botwire.transfer.entries import Digest, Kept, identity
from botwire.transfer.homes import Home, version_of, writing

__all__ = ["BYTES_AT_ONCE", "Copied", "copy"]

WRITTEN_AT_ONCE = 500  # entries
BYTES_AT_ONCE = 4_000_000
SLACK = 5.0  # seconds by which the lives of the same entry may seem to differ

NULL = Json("null")

Note = Callable[[str, int], object]  # namespace, entries passed
Pair = tuple[Kept | None, Kept | None]


@dataclass(frozen=True, slots=True)
class Copied:
    """What became of a namespace.

    Attributes:
        entries: those that do not expire, in both homes; `checksum` is over them.
        expiring: those that do; they were compared one by one.
        written, removed: what the target did not have, and what the source did not have.
        exact: versions and times were kept.
    """

    namespace: str
    entries: int
    expiring: int
    checksum: str
    written: int
    removed: int
    exact: bool


def copy(
    source: Home,
    target: Home,
    namespaces: Sequence[str] = (),
    *,
    mirror: bool = False,
    note: Note = lambda name, entries: None,
) -> Iterator[Copied]:
    """Copy namespaces (all, if none is named) and yield each when it was verified.

    Args:
        mirror: overwrite what differs in the target and remove what the source does not have;
            otherwise that is an error.
        note: is told how far it has come.

    Raises:
        Conflict: the target holds something else, or the source changed meanwhile.
    """
    for name in namespaces or source.namespaces():
        yield _copy(source, target, name, mirror, note)


def _copy(source: Home, target: Home, name: str, mirror: bool, note: Note) -> Copied:
    version, there = version_of(source, name), version_of(target, name)
    exact = target.restores and there <= version
    outbox = _Outbox(target, name, version if exact else None, fresh=not mirror)
    pairs = _joined(source, target, name, values=not exact)
    for passed, (ours, theirs) in enumerate(pairs, 1):
        if ours is None or (theirs is not None and not _same(ours, theirs, exact)):
            _refuse(name, theirs or ours, target, mirror)
        if ours is None and theirs is not None:
            outbox.remove(theirs.key)
        elif ours is not None and (theirs is None or not _same(ours, theirs, exact)):
            outbox.write(ours)
        note(name, passed)
    outbox.send(last=exact and there < version)
    digest = _verified(source, target, name, exact)
    return Copied(
        namespace=name,
        entries=digest.entries,
        expiring=digest.expiring,
        checksum=digest.checksum,
        written=outbox.written,
        removed=outbox.removed,
        exact=exact,
    )


class _Outbox:
    """Changes to the target, sent when there are many."""

    def __init__(self, target: Home, name: str, version: int | None, *, fresh: bool) -> None:
        self.written = self.removed = 0
        self._target = target
        self._name = name
        self._version = version
        self._fresh = fresh
        self._sent = False
        self._begin()

    def _begin(self) -> None:
        self._entries: list[Kept] = []
        self._gone: list[str] = []
        self._weight = 0

    def write(self, entry: Kept) -> None:
        self._entries.append(entry)
        self.written += 1
        self._send_if_much(len(entry.value))

    def remove(self, key: str) -> None:
        self._gone.append(key)
        self.removed += 1
        self._send_if_much(0)

    def _send_if_much(self, weight: int) -> None:
        self._weight += weight
        count = len(self._entries) + len(self._gone)
        if count >= WRITTEN_AT_ONCE or self._weight >= BYTES_AT_ONCE:
            self.send()

    def send(self, *, last: bool = False) -> None:
        """Send what waits; the `last` time also the version, if nothing has brought it."""
        if self._entries or self._gone or (last and not self._sent):
            changes = (self._name, self._entries, self._gone)
            self._target.run(writing(*changes, version=self._version, fresh=self._fresh))
            self._sent = True
        self._begin()


def _refuse(name: str, entry: Kept | None, target: Home, mirror: bool) -> None:
    if mirror or entry is None:
        return
    raise _unlike(
        name,
        entry,
        f"is not the same in {target.place}; nothing was overwritten",
        "Copy into an empty home, or let the target become like the source: --mirror.",
    )


def _unlike(name: str, entry: Kept, problem: str, hint: str) -> Conflict:
    return Conflict(
        f"{entry.key!r} in {name!r} {problem}",
        hint=hint,
        key=entry.key,
        expected=entry.version,
        current_version=entry.version,
    )


def _verified(source: Home, target: Home, name: str, exact: bool) -> Digest:
    """Read both again and compare count, checksum, and one by one what expires."""
    ours, theirs = Digest(exact=exact), Digest(exact=exact)
    odd: Kept | None = None
    for one, other in _joined(source, target, name, values=True):
        if one is not None:
            ours.add(one)
        if other is not None:
            theirs.add(other)
        lasting = [entry for entry in (one, other) if entry and not _ends_soon(entry)]
        if lasting and not (one and other and _same(one, other, exact)):
            odd = odd or lasting[0]
    if odd or (ours.entries, ours.checksum) != (theirs.entries, theirs.checksum):
        raise _unlike(
            name,
            odd or Kept("", NULL, 0, 0, 0),
            "is not the same in both after copying: somebody changed one of them meanwhile",
            "Stop who writes, then copy again with --mirror: it sends what changed only.",
        )
    return ours


def _ends_soon(entry: Kept) -> bool:
    return entry.expires_in is not None and entry.expires_in < SLACK


def _same(one: Kept, other: Kept, exact: bool) -> bool:
    if exact:  # the value cannot differ where the version is the same
        one, other = one._replace(value=NULL), other._replace(value=NULL)
    if identity(one, exact=exact) != identity(other, exact=exact):
        return False
    if one.expires_in is None or other.expires_in is None or one.sliding:
        return one.ttl == other.ttl
    return abs(one.expires_in - other.expires_in) < SLACK


def _joined(source: Home, target: Home, name: str, *, values: bool) -> Iterator[Pair]:
    """Entries of both sides by key, in order. `values`: the target's are needed, too."""
    left, right = _entries(source, name, values=True), _entries(target, name, values=values)
    ours, theirs = next(left, None), next(right, None)
    while ours is not None or theirs is not None:
        if theirs is None or (ours is not None and ours.key < theirs.key):
            yield ours, None
            ours = next(left, None)
        elif ours is None or theirs.key < ours.key:
            yield None, theirs
            theirs = next(right, None)
        else:
            yield ours, theirs
            ours, theirs = next(left, None), next(right, None)


def _entries(home: Home, name: str, *, values: bool) -> Iterator[Kept]:
    cursor: str | None = None
    while True:
        page, cursor = home.page(name, cursor, values=values)
        yield from page
        if cursor is None:
            return
