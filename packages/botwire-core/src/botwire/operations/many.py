"""Operations that change many keys, all at one moment or none."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from botwire.errors import InvalidRequest
from botwire.jsontext import Json, members
from botwire.operations.base import Operation
from botwire.operations.checks import expiry, json_text, name_text, names, prefix_text, seconds
from botwire.stores.base import Mode, Row

if TYPE_CHECKING:
    from botwire.stores.space import Space

__all__ = ["Batch", "Clear", "DeleteMany", "Expire", "SetMany"]

PAGE = 1000  # rows read at once where everything under a prefix is changed


@dataclass(frozen=True, slots=True)
class SetMany(Operation):
    """Write many keys, all or none."""

    name = "set_many"
    values: Mapping[str, Json]
    ttl: float | None = None
    sliding: bool = False
    needs = Mode.WRITE
    raw = MappingProxyType({"values": members})

    def __post_init__(self) -> None:
        Operation.__post_init__(self)
        for key, value in self.values.items():
            name_text(key, "key")
            json_text(value)
        expiry(self.ttl, self.sliding)

    @property
    def keys(self) -> Sequence[str]:
        return list(self.values)

    def apply(self, space: "Space") -> dict[str, Any]:
        space.load(self.keys)
        with space.all_or_nothing():
            versions = {
                key: space.put(key, value, ttl=self.ttl, sliding=self.sliding).version
                for key, value in self.values.items()
            }
        return {"versions": versions}

    def result(self, reply: Any) -> dict[str, int]:
        return reply["versions"]


@dataclass(frozen=True, slots=True)
class DeleteMany(Operation):
    """Delete many keys, and say how many of them existed."""

    name = "delete_many"
    keys: tuple[str, ...] = field()  # type: ignore[assignment]  # the property of the base is no default
    needs = Mode.WRITE

    def __post_init__(self) -> None:
        Operation.__post_init__(self)
        object.__setattr__(self, "keys", names(self.keys))

    def apply(self, space: "Space") -> dict[str, Any]:
        space.load(self.keys)
        rows = [row for row in map(space.row, dict.fromkeys(self.keys)) if row is not None]
        return {"deleted": _remove(space, rows)}

    def result(self, reply: Any) -> int:
        return reply["deleted"]


@dataclass(frozen=True, slots=True)
class Clear(Operation):
    """Delete everything under a prefix, in one step."""

    name = "clear"
    prefix: str = ""
    needs = Mode.WRITE

    def __post_init__(self) -> None:
        Operation.__post_init__(self)
        prefix_text(self.prefix)

    def apply(self, space: "Space") -> dict[str, Any]:
        return {"deleted": _remove(space, _everything(space, self.prefix, values=False))}

    def result(self, reply: Any) -> int:
        return reply["deleted"]


@dataclass(frozen=True, slots=True)
class Batch(Operation):
    """Several operations on one namespace: all of them happen, at one moment, or none does."""

    name = "batch"
    operations: tuple[Operation, ...]

    @property
    def mode(self) -> Mode:  # type: ignore[override]  # it needs what its parts need
        # At least a snapshot: the parts must agree with each other.
        return max((Mode.SNAPSHOT, *(part.mode for part in self.operations)))

    def __post_init__(self) -> None:
        Operation.__post_init__(self)
        object.__setattr__(self, "operations", tuple(self.operations))
        for part in self.operations:
            if part.namespace != self.namespace:
                raise InvalidRequest(
                    f"a batch works on one namespace: {self.namespace!r}, not {part.namespace!r}",
                    hint="Make one batch for each namespace.",
                )
            if isinstance(part, Batch):
                raise InvalidRequest(
                    "a batch cannot hold a batch", hint="List its operations directly."
                )

    @property
    def keys(self) -> Sequence[str]:
        return [key for part in self.operations for key in part.keys]

    def request(self) -> dict[str, Any]:
        parts = [{"op": part.name} | part.request() for part in self.operations]
        for part in parts:
            del part["namespace"]
        return {"namespace": self.namespace, "operations": parts}

    def apply(self, space: "Space") -> dict[str, Any]:
        space.load(self.keys)
        with space.all_or_nothing():
            return {"results": [part.apply(space) for part in self.operations]}

    def result(self, reply: Any) -> list[Any]:
        return [part.result(r) for part, r in zip(self.operations, reply["results"], strict=True)]


@dataclass(frozen=True, slots=True)
class Expire(Operation):
    """Give everything under a prefix the same time to live, counted from now, in one step."""

    name = "expire"
    prefix: str
    ttl: float
    needs = Mode.WRITE

    def __post_init__(self) -> None:
        Operation.__post_init__(self)
        prefix_text(self.prefix)
        seconds(self.ttl)
        if self.ttl is None:  # pyright: ignore[reportUnnecessaryComparison]  it may come from the wire
            raise InvalidRequest(
                "expire needs a ttl", hint="persist(key) lets a key live for ever."
            )

    def apply(self, space: "Space") -> dict[str, Any]:
        rows = _everything(space, self.prefix, values=True)
        with space.all_or_nothing():
            for row in rows:
                space.set_expiry(row, self.ttl)
        return {"touched": len(rows)}

    def result(self, reply: Any) -> int:
        return reply["touched"]


def _everything(space: "Space", prefix: str, *, values: bool) -> list[Row]:
    rows: list[Row] = []
    while True:
        page = space.scan(prefix, rows[-1].key if rows else None, PAGE, values=values)
        rows += page
        if len(page) < PAGE:
            return rows


def _remove(space: "Space", rows: Sequence[Row]) -> int:
    with space.all_or_nothing():
        for row in rows:
            space.remove(row)
    return len(rows)
