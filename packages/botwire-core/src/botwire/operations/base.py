"""What every operation is: a small frozen class that knows how it travels and what it does."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

from botwire.operations.checks import name_text
from botwire.stores.base import Escalate, Mode

if TYPE_CHECKING:
    from botwire.stores.base import Session
    from botwire.stores.space import Space

__all__ = ["OnKey", "Operation"]


@cache
def _fields(kind: "type[Operation]") -> Sequence[tuple[str, Any]]:
    """The names and defaults of its fields, which every request asks for."""
    return [(field.name, field.default) for field in fields(kind)]


@dataclass(frozen=True, slots=True)
class Operation:
    """The root of all operations; each names its wire name, its mode and its JSON-valued fields."""

    namespace: str

    name: ClassVar[str] = ""
    needs: ClassVar[Mode] = Mode.POINT
    looks: ClassVar[bool] = False  # whether a glance may be enough (see `look`)
    raw: ClassVar[
        Mapping[str, Callable[[str], Any]]
    ] = {}  # fields that stay JSON text, and their reader

    def __post_init__(self) -> None:
        name_text(self.namespace, "namespace")

    def request(self) -> dict[str, Any]:
        """The operation as plain data; what stands at its default is left out."""
        given: dict[str, Any] = {}
        for name, default in _fields(type(self)):
            value = getattr(self, name)
            if value is not default:
                given[name] = value
        return given

    @property
    def mode(self) -> Mode:
        """How much of a transaction it needs."""
        return self.needs

    @property
    def keys(self) -> Sequence[str]:
        """The single keys it works on, so that a store can read them all at once."""
        return ()

    def look(self, session: "Session", clock: Callable[[], float]) -> Any:
        """The reply from a glance at one row, or `Escalate` when it takes more than that."""
        raise Escalate(self.mode)

    def apply(self, space: "Space") -> Any:
        """Do it in one transaction and return the reply as plain data."""
        raise NotImplementedError

    def result(self, reply: Any) -> Any:
        """What the reply means to the caller."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class OnKey(Operation):
    key: str

    def __post_init__(self) -> None:
        name_text(self.namespace, "namespace")
        name_text(self.key, "key")

    @property
    def keys(self) -> Sequence[str]:
        return (self.key,)
