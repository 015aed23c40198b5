"""What callers get back, and how it is read from a reply."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any, NamedTuple

from botwire.jsontext import Json, decode

__all__ = ["MISSING", "Entry", "Page", "UsageOf", "entry_of", "value_of"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry, as it stood when it was read.

    Attributes:
        value: the stored value; None where only the facts about it were asked for.
        version: rises with every change in the namespace.
        bytes: size of the value as JSON in UTF-8.
        ttl: the seconds it was given to live, None if it does not expire.
        expires_in: the seconds left when it was read, None if it does not expire.
        sliding: whether reading starts the ttl anew.
    """

    key: str
    value: Any
    version: int
    bytes: int
    created_at: datetime
    updated_at: datetime
    ttl: float | None = None
    expires_in: float | None = None
    sliding: bool = False


class _Missing(Enum):
    MISSING = "missing"


MISSING = _Missing.MISSING  # what Get and Pop give for a key that does not exist; null is a value


class Page(NamedTuple):
    """Some entries in order, and the cursor that continues behind them (None: that was all)."""

    entries: list[Entry]
    cursor: str | None


@dataclass(frozen=True, slots=True)
class UsageOf:
    """What a namespace holds and may hold. Limits are None where there are none.

    Attributes:
        entries: keys that exist.
        bytes: their keys and values together, as UTF-8.
        version: the last version given out; it changes whenever anything in the namespace does.
        writes_today: keys changed since the namespace's day began.
        resets_in: seconds until `writes_today` starts at 0 again.
    """

    namespace: str
    entries: int
    bytes: int
    version: int
    writes_today: int
    resets_in: float
    writes_per_day: int | None
    namespace_bytes: int | None
    value_bytes: int


def value_of(value: Any) -> Any:
    """A value as Python: `Json` text straight from a store, or already read with its reply."""
    return decode(value) if isinstance(value, Json) else value


def entry_of(facts: Mapping[str, Any]) -> Entry:
    """An entry from a reply that holds everything known about it."""
    return Entry(
        key=facts["key"],
        value=value_of(facts.get("value")),
        version=facts["version"],
        bytes=facts["bytes"],
        created_at=datetime.fromtimestamp(facts["created_at"], UTC),
        updated_at=datetime.fromtimestamp(facts["updated_at"], UTC),
        ttl=facts["ttl"],
        expires_in=facts["expires_in"],
        sliding=facts["sliding"],
    )
