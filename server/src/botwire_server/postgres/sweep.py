"""Freeing the space of what has expired, as an ordinary write: it takes the namespace's lock."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botwire.operations import Operation
from botwire.stores.base import Mode, Row

if TYPE_CHECKING:
    from botwire.stores.space import Space

__all__ = ["Discard", "discards"]


@dataclass(frozen=True, slots=True)
class Discard(Operation):
    """Take out those of the keys that have expired by now; one may have been renewed meanwhile."""

    name = "discard"
    keys: tuple[str, ...]  # type: ignore[assignment]  # a field here, derived elsewhere
    needs = Mode.WRITE

    def apply(self, space: "Space") -> dict[str, Any]:
        gone = [row for key in self.keys if (row := space.raw(key)) and space.row(key) is None]
        for row in gone:
            space.discard(row)
        return {"deleted": len(gone)}

    def result(self, reply: Any) -> int:
        return reply["deleted"]


def discards(expired: list[tuple[str, Row]]) -> list[Discard]:
    """One operation for each namespace of the rows."""
    keys: dict[str, list[str]] = {}
    for namespace, row in expired:
        keys.setdefault(namespace, []).append(row.key)
    return [Discard(namespace, tuple(found)) for namespace, found in keys.items()]
