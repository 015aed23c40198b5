"""One memory as it is kept, its key, and the line a model reads of it.

Keys made here begin with the time, so that they sort by it. A name that a caller gives, such as
"city", sorts behind them.
"""

import re
import secrets
import time
from dataclasses import dataclass
from datetime import datetime

from autogen_core.memory import MemoryContent

from botwire import Entry
from botwire_autogen.content import content_of, text_of

__all__ = ["Remembered", "line", "new_key", "remembered"]

_made = re.compile("1[0-9a-f]{23}").fullmatch
_last = 0


@dataclass(frozen=True, slots=True)
class Remembered:
    """A memory as it is kept.

    Attributes:
        key: names it for `get`, `update` and `delete`.
        version: rises with every change; the condition for `update(if_version=)`.
        expires_in: seconds left, None if it does not expire.
    """

    key: str
    content: MemoryContent
    version: int
    created_at: datetime
    updated_at: datetime
    expires_in: float | None


def remembered(entry: Entry, prefix: str) -> Remembered:
    """The memory in an entry under this prefix."""
    return Remembered(
        key=entry.key.removeprefix(prefix),
        content=content_of(entry.value),
        version=entry.version,
        created_at=entry.created_at,
        updated_at=entry.updated_at,
        expires_in=entry.expires_in,
    )


def new_key() -> str:
    """A key behind all that this process made before, and behind those made elsewhere earlier.

    >>> new_key() < new_key()
    True
    """
    global _last
    _last = max(time.time_ns(), _last + 1)
    return f"{_last:016x}{secrets.token_hex(4)}"


def line(memory: Remembered) -> str:
    """The memory as a model reads it; one that was given a name is shown with it."""
    text = text_of(memory.content)
    return text if _made(memory.key) else f"{memory.key}: {text}"
