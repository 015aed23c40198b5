"""What is remembered as JSON Lines: one entry a line, and after each namespace what it held.

    {"namespace": "ada", "key": "mood", "value": "curious", "version": 3, "created_at": ..., ...}
    {"namespace": "ada", "version": 7, "entries": 1, "sha256": "..."}

Moments are seconds since 1970. `ttl`, `expires_at` and `sliding` stand where they are needed.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from botwire.errors import InvalidRequest, InvalidValue
from botwire.jsontext import Json, decode, members, write
from botwire.transfer.copying import Note
from botwire.transfer.entries import Digest, Kept, Restore
from botwire.transfer.homes import Home, version_of, writing

__all__ = ["export_lines", "import_lines"]

AT_ONCE = 500  # entries
FIELDS = {"namespace", "key", "value", "version", "created_at", "updated_at"}
OPTIONAL = {"ttl", "expires_at", "sliding"}


def export_lines(
    source: Home, namespaces: Sequence[str] = (), *, note: Note = lambda name, entries: None
) -> Iterator[str]:
    """Every entry of the namespaces (all, if none is named) as a line of JSON without its end."""
    for name in namespaces or source.namespaces():
        digest = Digest(exact=True)
        cursor: str | None = None
        passed = 0
        while passed == 0 or cursor is not None:
            page, cursor = source.page(name, cursor, values=True)
            for entry in page:
                digest.add(entry)
                yield write(_line(name, entry))
            passed += len(page)
            note(name, passed)
            if cursor is None:
                break
        end = {"version": version_of(source, name), "entries": digest.entries}
        yield write({"namespace": name, **end, "sha256": digest.checksum})


def _line(name: str, entry: Kept) -> dict[str, Any]:
    line: dict[str, Any] = {
        "namespace": name,
        "key": entry.key,
        "value": entry.value,
        "version": entry.version,
        "created_at": entry.created_at,
        "updated_at": entry.updated_at,
    }
    if entry.ttl is not None and entry.expires_in is not None:
        line |= {"ttl": entry.ttl, "expires_at": time.time() + entry.expires_in}
    return line | ({"sliding": True} if entry.sliding else {})


def import_lines(
    lines: Iterable[str],
    target: Home,
    *,
    overwrite: bool = False,
    note: Note = lambda name, entries: None,
) -> Iterator[tuple[str, int]]:
    """Write what `export_lines` gave; yields (namespace, entries) when one is complete.

    An import into a file or database that was broken off can simply be repeated.

    Args:
        overwrite: also what is newer there; on a server, anything that exists.

    Raises:
        Conflict: there is a newer state of an entry, or, on a server, any.
        InvalidRequest: a line is not what it should be, or the file is cut off.
    """
    part: _Part | None = None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        given = _members(line, number)
        name = _text(given, "namespace", number)
        part = part or _Part(target, name, overwrite)
        if name != part.name:
            raise _cut(part.name)
        if "sha256" in given:
            part.finish(given, number)
            yield name, part.entries
            part = None
        else:
            part.add(_entry(given, number))
            note(name, part.entries)
    if part is not None:
        raise _cut(part.name)


class _Part:
    """One namespace on its way in."""

    def __init__(self, target: Home, name: str, overwrite: bool) -> None:
        self.name = name
        self.entries = 0
        self._target = target
        self._digest = Digest(exact=True)
        self._waiting: list[Kept] = []
        self._fresh = not overwrite

    def add(self, entry: Kept) -> None:
        self.entries += 1
        self._digest.add(entry)
        self._waiting.append(entry)
        if len(self._waiting) >= AT_ONCE:
            self._send()

    def _send(self) -> None:
        version = 0 if self._target.restores else None  # the file gives it at the end
        changes = writing(self.name, self._waiting, (), version=version, fresh=self._fresh)
        self._target.run(changes)
        self._waiting.clear()

    def finish(self, end: dict[str, Json], number: int) -> None:
        if (decode(end["entries"]), decode(end["sha256"])) != (
            self._digest.entries,
            self._digest.checksum,
        ):
            raise InvalidRequest(
                f"line {number}: count or checksum of {self.name!r} differ: the file was damaged",
                hint="Export again; what was imported so far stays.",
            )
        self._send()
        if self._target.restores:
            self._target.run(Restore(self.name, version=decode(end["version"])))


def _cut(name: str) -> InvalidRequest:
    return InvalidRequest(
        f"the entries of {name!r} have no end: the file was cut off",
        hint="Export again; what was imported so far stays.",
    )


def _members(line: str, number: int) -> dict[str, Json]:
    try:
        return members(line)
    except InvalidValue as error:
        raise InvalidRequest(f"line {number} is no JSON object: {error.detail}") from None


def _text(given: dict[str, Json], field: str, number: int) -> str:
    value = decode(given.get(field, Json("null")))
    if not isinstance(value, str):
        raise InvalidRequest(f"line {number}: the field {field!r} is missing or no text")
    return value


def _entry(given: dict[str, Json], number: int) -> Kept:
    if not given.keys() >= FIELDS or not given.keys() <= FIELDS | OPTIONAL:
        wrong = sorted(FIELDS - given.keys()) or sorted(given.keys() - FIELDS - OPTIONAL)
        raise InvalidRequest(f"line {number}: the field {wrong[0]!r} is missing or unknown")
    expires_at = decode(given.get("expires_at", Json("null")))
    return Kept(
        key=_text(given, "key", number),
        value=given["value"],
        version=decode(given["version"]),
        created_at=decode(given["created_at"]),
        updated_at=decode(given["updated_at"]),
        ttl=decode(given.get("ttl", Json("null"))),
        expires_in=None if expires_at is None else expires_at - time.time(),
        sliding=decode(given.get("sliding", Json("false"))),
    )
