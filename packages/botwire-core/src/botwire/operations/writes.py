"""Operations that change one key."""

import math
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from botwire.errors import InvalidRequest, WrongType
from botwire.jsontext import Json, decode_quickly, elements, encode, kind_of, merge, within
from botwire.operations.base import OnKey
from botwire.operations.checks import condition, expiry, flag, json_text, seconds, shown, whole
from botwire.operations.results import MISSING, value_of
from botwire.stores.base import Mode, Row

if TYPE_CHECKING:
    from botwire.stores.space import Space

__all__ = ["Append", "Delete", "Increment", "Merge", "Persist", "Pop", "Set", "Touch"]

ONE = Json("1")


@dataclass(frozen=True, slots=True)
class Set(OnKey):
    """Write a key. It then expires after `ttl` seconds, as before (`keep_ttl`), or never."""

    name = "set"
    value: Json
    ttl: float | None = None
    sliding: bool = False
    if_version: int | None = None
    keep_ttl: bool = False
    needs = Mode.WRITE
    raw = MappingProxyType({"value": within})

    def __post_init__(self) -> None:
        OnKey.__post_init__(self)
        json_text(self.value)
        if self.ttl is not None or self.sliding is not False:
            expiry(self.ttl, self.sliding)
        condition(self.if_version)
        if self.keep_ttl is not False:
            flag(self.keep_ttl, "keep_ttl")
            if self.ttl is not None:
                raise InvalidRequest("keep_ttl and ttl exclude each other", hint="Say one of them.")

    def apply(self, space: "Space") -> dict[str, Any]:
        old = space.row(self.key)
        space.check(self.key, old, self.if_version)
        if old is not None and self.keep_ttl:
            row = space.revise(old, self.value, None)
        else:
            row = space.put(self.key, self.value, ttl=self.ttl, sliding=self.sliding)
        return {"version": row.version, "created": old is None}

    def result(self, reply: Any) -> int:
        return reply["version"]


@dataclass(frozen=True, slots=True)
class Delete(OnKey):
    """Delete a key, and say whether it existed."""

    name = "delete"
    if_version: int | None = None
    needs = Mode.WRITE

    def __post_init__(self) -> None:
        OnKey.__post_init__(self)
        condition(self.if_version)

    def apply(self, space: "Space") -> dict[str, Any]:
        row = space.row(self.key)
        space.check(self.key, row, self.if_version)
        if row is not None:
            space.remove(row)
        return {"deleted": row is not None}

    def result(self, reply: Any) -> bool:
        return reply["deleted"]


@dataclass(frozen=True, slots=True)
class Pop(OnKey):
    """Delete a key and return what it held."""

    name = "pop"
    needs = Mode.WRITE

    def apply(self, space: "Space") -> dict[str, Any] | None:
        row = space.row(self.key)
        if row is None:
            return None
        reply = {"value": space.text(row), "version": row.version}
        space.remove(row)
        return reply

    def result(self, reply: Any) -> Any:
        return MISSING if reply is None else value_of(reply["value"])


@dataclass(frozen=True, slots=True)
class Touch(OnKey):
    """Start the time to live anew; without `ttl` the one the entry has."""

    name = "touch"
    ttl: float | None = None
    needs = Mode.WRITE

    def __post_init__(self) -> None:
        OnKey.__post_init__(self)
        seconds(self.ttl)

    def apply(self, space: "Space") -> dict[str, Any]:
        row = space.row(self.key)
        ttl = row.ttl if row is not None and self.ttl is None else self.ttl
        if row is not None and ttl is not None:
            space.set_expiry(row, ttl)
        return {"touched": row is not None}

    def result(self, reply: Any) -> bool:
        return reply["touched"]


@dataclass(frozen=True, slots=True)
class Persist(OnKey):
    """Let a key live for ever."""

    name = "persist"
    needs = Mode.WRITE

    def apply(self, space: "Space") -> dict[str, Any]:
        row = space.row(self.key)
        if row is not None and row.ttl is not None:
            space.set_expiry(row, None)
        return {"persisted": row is not None}

    def result(self, reply: Any) -> bool:
        return reply["persisted"]


@dataclass(frozen=True, slots=True)
class Increment(OnKey):
    """Add to a number (0 if missing). The expiry stays unless a ttl starts it anew."""

    name = "increment"
    by: Json = ONE
    ttl: float | None = None
    needs = Mode.WRITE
    raw = MappingProxyType({"by": within})

    def __post_init__(self) -> None:
        OnKey.__post_init__(self)
        json_text(self.by)
        if type(decode_quickly(self.by)) not in (int, float):
            raise InvalidRequest(f"increment needs a number, not {self.by[:60]}")
        seconds(self.ttl)

    def apply(self, space: "Space") -> dict[str, Any]:
        row = space.row(self.key)
        text = Json("0") if row is None else Json(row.value)
        if kind_of(text) != "number":
            raise WrongType(
                f"{self.key!r} holds a value of type {kind_of(text)}, not a number",
                hint="Use another key for the counter, or set this one to 0 first.",
            )
        number = decode_quickly(text)
        total = _sum(number, decode_quickly(self.by))
        if row is not None and total == number and self.ttl is None and type(total) is type(number):
            return {"value": Json(row.value), "version": row.version}
        if row is None:
            new = space.put(self.key, encode(total), ttl=self.ttl)
        else:
            new = space.revise(row, encode(total), self.ttl)
        return {"value": Json(new.value), "version": new.version}

    def result(self, reply: Any) -> int | float:
        return value_of(reply["value"])


@dataclass(frozen=True, slots=True)
class Append(OnKey):
    """Add items to the end of a list (made if missing), keeping the newest `max_items`."""

    name = "append"
    items: tuple[Json, ...]
    max_items: int | None = None
    ttl: float | None = None
    sliding: bool = False
    if_version: int | None = None
    needs = Mode.WRITE
    raw = MappingProxyType({"items": elements})

    def __post_init__(self) -> None:
        OnKey.__post_init__(self)
        object.__setattr__(self, "items", tuple(self.items))
        for item in self.items:
            json_text(item)
        if self.max_items is not None:
            whole(self.max_items, "max_items", 1)
        expiry(self.ttl, self.sliding)
        condition(self.if_version)

    def apply(self, space: "Space") -> dict[str, Any]:
        row = space.row(self.key)
        space.check(self.key, row, self.if_version)
        if row is not None and self._changes_nothing(space, row):
            return {"length": space.length(row), "version": row.version}
        new = space.append(self.key, self.items, self.max_items, self.ttl, self.sliding)
        return {"length": space.length(new), "version": new.version}

    def _changes_nothing(self, space: "Space", row: Row) -> bool:
        if self.items or self.ttl is not None:
            return False
        return self.max_items is None or space.length(row) <= self.max_items

    def result(self, reply: Any) -> int:
        return reply["length"]


@dataclass(frozen=True, slots=True)
class Merge(OnKey):
    """Change parts of an object: JSON Merge Patch (RFC 7396), where null removes a member."""

    name = "merge"
    patch: Json
    ttl: float | None = None
    if_version: int | None = None
    needs = Mode.WRITE
    raw = MappingProxyType({"patch": within})

    def __post_init__(self) -> None:
        OnKey.__post_init__(self)
        json_text(self.patch)
        seconds(self.ttl)
        condition(self.if_version)

    def apply(self, space: "Space") -> dict[str, Any]:
        row = space.row(self.key)
        space.check(self.key, row, self.if_version)
        if row is None:
            return {"version": space.put(self.key, merge(None, self.patch), ttl=self.ttl).version}
        text = space.text(row)
        merged = merge(text, self.patch)
        if self.ttl is None and merged == text:
            return {"version": row.version}
        return {"version": space.revise(row, merged, self.ttl).version}

    def result(self, reply: Any) -> int:
        return reply["version"]


def _sum(number: Any, by: Any) -> Any:
    try:
        total = number + by
    except OverflowError:  # an integer too large for a float
        total = math.inf
    if isinstance(total, float) and not math.isfinite(total):
        raise InvalidRequest(
            f"{shown(number)} + {shown(by)} is too large for a number with a fraction"
        )
    return total
