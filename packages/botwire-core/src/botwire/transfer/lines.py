"""What is remembered as JSON Lines: one entry a line, and after each namespace what it held.

    {"namespace": "ada", "key": "mood", "value": "curious", "version": 3, "created_at": ..., ...}
    {"namespace": "ada", "version": 7, "entries": 1, "sha256": "..."}

Moments are seconds since 1970. `ttl`, `expires_at` and `sliding` stand where they are needed.
"""

import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

from botwire.errors import InvalidRequest, InvalidValue
from botwire.jsontext import Json, decode, members, write
from botwire.operations.checks import expiry, name_text, shown, whole
from botwire.transfer.copying import BYTES_AT_ONCE, Note
from botwire.transfer.entries import Digest, Kept, Restore
from botwire.transfer.homes import Home, version_of, writing

__all__ = ["export_lines", "import_lines"]

AT_ONCE = 500  # entries
YEAR_10000 = 253_402_300_800  # in seconds since 1970; Python has no dates behind it
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
            for entry in map(_on_one_line, page):
                digest.add(entry)
                yield write(_line(name, entry))
            passed += len(page)
            note(name, passed)
            if cursor is None:
                break
        end = {"version": version_of(source, name), "entries": digest.entries}
        yield write({"namespace": name, **end, "sha256": digest.checksum})


def _on_one_line(entry: Kept) -> Kept:
    """Values are kept as they were written, which may be with line breaks between their parts."""
    value = entry.value.replace("\r", " ").replace("\n", " ")  # in texts they are escaped
    return entry._replace(value=Json(value))


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
        self._weight = 0
        self._fresh = not overwrite

    def add(self, entry: Kept) -> None:
        self.entries += 1
        self._digest.add(entry)
        self._waiting.append(entry)
        self._weight += len(entry.value)
        if len(self._waiting) >= AT_ONCE or self._weight >= BYTES_AT_ONCE:
            self._send()

    def _send(self) -> None:
        version = 0 if self._target.restores else None  # the file gives it at the end
        changes = writing(self.name, self._waiting, (), version=version, fresh=self._fresh)
        self._target.run(changes)
        self._waiting.clear()
        self._weight = 0

    def finish(self, end: dict[str, Json], number: int) -> None:
        told = {field: decode(text) for field, text in end.items()}
        held = {"entries": self._digest.entries, "sha256": self._digest.checksum}
        if told | held != told:
            raise InvalidRequest(
                f"line {number}: count or checksum of {self.name!r} differ: the file was damaged",
                hint="Export again; what was imported so far stays.",
            )
        with _of_line(number):
            whole(told.get("version"), "version")
        self._send()
        if self._target.restores:
            self._target.run(Restore(self.name, version=told["version"]))


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
    told = {field: decode(text) for field, text in given.items() if field != "value"}
    with _of_line(number):
        _check(told)
    expires_at = told.get("expires_at")
    return Kept(
        key=told["key"],
        value=given["value"],
        version=told["version"],
        created_at=told["created_at"],
        updated_at=told["updated_at"],
        ttl=told.get("ttl"),
        expires_in=None if expires_at is None else expires_at - time.time(),
        sliding=told.get("sliding", False),
    )


def _check(told: dict[str, Any]) -> None:
    """Refuse what no memory can hold: a store takes entries as they are."""
    name_text(told["key"], "key")
    whole(told["version"], "version", 1)
    expiry(told.get("ttl"), told.get("sliding", False))
    if (told.get("ttl") is None) != (told.get("expires_at") is None):
        raise InvalidRequest("ttl and expires_at stand together or not at all")
    for field in told.keys() & {"created_at", "updated_at", "expires_at"}:
        _moment(told[field], field)


def _moment(seconds: object, what: str) -> None:
    if type(seconds) not in (int, float) or not 0 <= cast("float", seconds) < YEAR_10000:
        raise InvalidRequest(f"{what} must be seconds since 1970, not {shown(seconds)}")


@contextmanager
def _of_line(number: int) -> Generator[None]:
    try:
        yield
    except InvalidRequest as error:
        raise InvalidRequest(f"line {number}: {error.detail}", hint=error.hint) from None
