"""Operations that read. `Get` and `Tail` and whatever else gives values renew a sliding ttl."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

from botwire.errors import InvalidValue
from botwire.jsontext import Json, decode_quickly, members
from botwire.operations.base import OnKey, Operation
from botwire.operations.checks import flag, names, prefix_text, whole
from botwire.operations.results import MISSING, Entry, Page, UsageOf, entry_of, value_of
from botwire.stores.base import Escalate, Mode, Row

if TYPE_CHECKING:
    from botwire.stores.base import Session
    from botwire.stores.space import Space

__all__ = [
    "PAGE",
    "Exists",
    "Expect",
    "Get",
    "GetMany",
    "Head",
    "Length",
    "Linked",
    "Read",
    "Scan",
    "Tail",
    "Usage",
]

PAGE = 1000  # entries a page holds at most
EMPTY = Json("[]")
PAGE_BYTES = 4_000_000  # a page of values ends after about this many


@dataclass(frozen=True, slots=True)
class Get(OnKey):
    """The value of a key; reply None when it does not exist."""

    name = "get"
    looks = True

    def look(self, session: "Session", clock: Callable[[], float]) -> dict[str, Any] | None:
        found = session.glance(self.namespace, self.key)
        if found is None:
            return None
        value, version, expires_at, special = found
        if expires_at is not None and expires_at <= clock():
            return None
        if special:
            raise Escalate(Mode.POINT)
        return {"value": Json(value), "version": version}

    def apply(self, space: "Space") -> dict[str, Any] | None:
        row = space.read(self.key)
        return None if row is None else {"value": space.text(row), "version": row.version}

    def result(self, reply: Any) -> Any:
        return MISSING if reply is None else value_of(reply["value"])


@dataclass(frozen=True, slots=True)
class Read(OnKey):
    """A key's value with everything known about it."""

    name = "read"

    def apply(self, space: "Space") -> dict[str, Any] | None:
        row = space.read(self.key)
        return None if row is None else _facts(space, row) | {"value": space.text(row)}

    def result(self, reply: Any) -> Entry | None:
        return None if reply is None else entry_of(reply)


@dataclass(frozen=True, slots=True)
class Head(OnKey):
    """Everything known about a key but its value. Looking is not reading: nothing is renewed."""

    name = "head"

    def apply(self, space: "Space") -> dict[str, Any] | None:
        row = space.row(self.key)
        return None if row is None else _facts(space, row)

    def result(self, reply: Any) -> Entry | None:
        return None if reply is None else entry_of(reply)


@dataclass(frozen=True, slots=True)
class Exists(OnKey):
    """Whether a key exists. Looking is not reading: nothing is renewed."""

    name = "exists"
    looks = True

    def look(self, session: "Session", clock: Callable[[], float]) -> dict[str, Any]:
        found = session.glance(self.namespace, self.key)
        return {"exists": found is not None and (found[2] is None or found[2] > clock())}

    def apply(self, space: "Space") -> dict[str, Any]:
        return {"exists": space.row(self.key) is not None}

    def result(self, reply: Any) -> bool:
        return reply["exists"]


@dataclass(frozen=True, slots=True)
class Expect(OnKey):
    """Refuse the batch this stands in unless a key is at a version (0: it must not exist)."""

    name = "expect"
    if_version: int

    def __post_init__(self) -> None:
        OnKey.__post_init__(self)
        whole(self.if_version, "if_version")

    def apply(self, space: "Space") -> dict[str, Any]:
        space.check(self.key, space.row(self.key), self.if_version)
        return {"version": self.if_version}

    def result(self, reply: Any) -> int:
        return reply["version"]


@dataclass(frozen=True, slots=True)
class Tail(OnKey):
    """The newest items of a list, without reading the rest."""

    name = "tail"
    count: int

    def __post_init__(self) -> None:
        OnKey.__post_init__(self)
        whole(self.count, "count")

    def apply(self, space: "Space") -> dict[str, Any]:
        row = space.read(self.key)
        if row is None:
            return {"items": Json("[]"), "length": 0, "version": 0}
        items = Json(f"[{','.join(space.tail(row, self.count))}]")
        return {"items": items, "length": space.length(row), "version": row.version}

    def result(self, reply: Any) -> list[Any]:
        return value_of(reply["items"])


@dataclass(frozen=True, slots=True)
class Length(OnKey):
    """How many items a list has; 0 when it does not exist. Looking is not reading."""

    name = "length"

    def apply(self, space: "Space") -> dict[str, Any]:
        row = space.row(self.key)
        return {"length": 0 if row is None else space.length(row)}

    def result(self, reply: Any) -> int:
        return reply["length"]


@dataclass(frozen=True, slots=True)
class GetMany(Operation):
    """The values of many keys at once; those that do not exist are left out."""

    name = "get_many"
    keys: tuple[str, ...] = field()  # type: ignore[assignment]  # the property of the base is no default
    needs = Mode.SNAPSHOT

    def __post_init__(self) -> None:
        Operation.__post_init__(self)
        object.__setattr__(self, "keys", names(self.keys))

    def apply(self, space: "Space") -> dict[str, Any]:
        space.load(self.keys)
        rows = (space.read(key) for key in dict.fromkeys(self.keys))
        found = [row for row in rows if row is not None]
        return {"entries": [_brief(space, row) for row in found]}

    def result(self, reply: Any) -> dict[str, Any]:
        return {entry["key"]: value_of(entry["value"]) for entry in reply["entries"]}


@dataclass(frozen=True, slots=True)
class Scan(Operation):
    """A page of the entries under a prefix, in code-point order of their keys.

    `after` continues behind a key (before it, when `reverse`); `newer_than` leaves out what was not
    changed since that version.
    """

    name = "scan"
    prefix: str = ""
    after: str | None = None
    limit: int = PAGE
    reverse: bool = False
    values: bool = True
    newer_than: int = 0
    needs = Mode.SNAPSHOT

    def __post_init__(self) -> None:
        Operation.__post_init__(self)
        prefix_text(self.prefix)
        if self.after is not None:
            prefix_text(self.after)
        whole(self.limit, "limit", 1)
        whole(self.newer_than, "newer_than")
        flag(self.reverse, "reverse")
        flag(self.values, "values")

    def apply(self, space: "Space") -> dict[str, Any]:
        limit = min(self.limit, PAGE)
        rows = space.scan(
            self.prefix,
            self.after,
            limit + 1,
            reverse=self.reverse,
            newer_than=self.newer_than,
            values=self.values,
        )
        shown = rows[:limit]
        if self.values:
            entries = [_full(space, row) for row in _up_to(shown, PAGE_BYTES)]
        else:
            entries = [_facts(space, row) for row in shown]
        return {
            "entries": entries,
            "cursor": entries[-1]["key"] if len(entries) < len(rows) else None,
        }

    def result(self, reply: Any) -> Page:
        return Page([entry_of(entry) for entry in reply["entries"]], reply["cursor"])

    def after_cursor(self, cursor: str | None) -> "Scan | None":
        """The scan of the next page, or None behind the last one."""
        return None if cursor is None else replace(self, after=cursor)


@dataclass(frozen=True, slots=True)
class Linked(Operation):
    """A page of entries as `Scan` gives it, with the entries that their values name.

    An object names entries by its member `links`, a list of keys; those that do not exist are left
    out. It reads a small document and the big parts it stands for in one round trip.
    """

    name = "linked"
    prefix: str = ""
    after: str | None = None
    limit: int = PAGE
    reverse: bool = False
    needs = Mode.SNAPSHOT

    def __post_init__(self) -> None:
        self._scan()  # which has the same fields under the same rules

    def _scan(self) -> Scan:
        return Scan(self.namespace, self.prefix, self.after, self.limit, self.reverse)

    def apply(self, space: "Space") -> dict[str, Any]:
        page = self._scan().apply(space)
        keys = dict.fromkeys(key for entry in page["entries"] for key in _links(entry["value"]))
        space.load(list(keys))
        rows = [row for row in map(space.row, keys) if row is not None]
        return page | {"linked": [_full(space, row) for row in rows]}

    def result(self, reply: Any) -> tuple[Page, dict[str, Entry]]:
        page = Page([entry_of(entry) for entry in reply["entries"]], reply["cursor"])
        return page, {entry["key"]: entry_of(entry) for entry in reply["linked"]}


def _links(value: Json) -> list[str]:
    if not value.startswith("{"):
        return []
    try:
        links: Any = decode_quickly(value).get("links")
    except InvalidValue:  # a huge integer stands somewhere in it
        links = decode_quickly(members(value).get("links", EMPTY))
    found = cast("list[Any]", links) if isinstance(links, list) else []
    return [key for key in found if isinstance(key, str)]


@dataclass(frozen=True, slots=True)
class Usage(Operation):
    """What a namespace holds and may hold."""

    name = "usage"
    needs = Mode.SNAPSHOT

    def apply(self, space: "Space") -> dict[str, Any]:
        entries, used = space.used()
        _, writes, reset = space.today()
        limits = space.limits
        return {
            "namespace": self.namespace,
            "entries": entries,
            "bytes": used,
            "version": space.ledger.version,
            "writes_today": writes,
            "resets_in": reset,
            "writes_per_day": limits.writes_per_day,
            "namespace_bytes": limits.namespace_bytes,
            "value_bytes": limits.value_bytes,
        }

    def result(self, reply: Any) -> UsageOf:
        return UsageOf(**reply)


def _facts(space: "Space", row: Row) -> dict[str, Any]:
    return {
        "key": row.key,
        "version": row.version,
        "bytes": row.bytes,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
        "ttl": row.ttl,
        "expires_in": None if row.expires_at is None else row.expires_at - space.now,
        "sliding": bool(row.sliding),
    }


def _brief(space: "Space", row: Row) -> dict[str, Any]:
    return {"key": row.key, "value": space.text(row), "version": row.version}


def _full(space: "Space", row: Row) -> dict[str, Any]:
    row = space.renew(row) if row.sliding else row
    return _facts(space, row) | {"value": space.text(row)}


def _up_to(rows: Sequence[Row], bytes_: int) -> list[Row]:
    """The first rows whose values stay within `bytes_`, but always one."""
    for position, row in enumerate(rows):
        bytes_ -= row.bytes
        if bytes_ < 0:
            return list(rows[: max(position, 1)])
    return list(rows)
