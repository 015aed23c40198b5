"""A memory record as JSON, and which scopes lie within which.

- A scope is a path: `/crew/sales` holds `/crew/sales/eu` and never `/crew/sales-eu`.
- Times are naive UTC, as CrewAI computes with them; a time with a zone is converted.
- A vector is base64 of little-endian float32: a quarter of its size as JSON numbers.
"""

import base64
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np
from crewai.memory.types import MemoryRecord
from numpy.typing import NDArray
from pydantic_core import to_jsonable_python

try:
    from crewai.memory.storage.backend import (
        EmbeddingDimensionMismatchError,  # pyright: ignore[reportAssignmentType]  # else ours
    )
except ImportError:  # crewai before 1.15

    class EmbeddingDimensionMismatchError(ValueError):
        """The vectors are not like those stored."""

        def __init__(self, stored_dim: int, new_dim: int) -> None:
            self.stored_dim, self.new_dim = stored_dim, new_dim
            super().__init__(
                f"this memory holds {stored_dim}-dimensional vectors, and the embedder produced a "
                f"{new_dim}-dimensional one; use the former embedder, or reset the memory"
            )


__all__ = [
    "EmbeddingDimensionMismatchError",
    "Vector",
    "children",
    "dimension",
    "from_json",
    "naive_utc",
    "path",
    "to_json",
    "vector_of",
    "within",
]

Vector = NDArray[np.float32]
_FLOATS = np.dtype("<f4")


def to_json(record: MemoryRecord) -> dict[str, Any]:
    """What is stored under a record's id."""
    times = {"created_at": record.created_at, "last_accessed": record.last_accessed}
    data = record.model_dump(mode="json", exclude={"id", "embedding", "metadata", *times})
    # Dates and sets become JSON, NaN stays what it is and is refused when it is written.
    data["metadata"] = to_jsonable_python(record.metadata, inf_nan_mode="constants")
    data |= {name: naive_utc(time).isoformat() for name, time in times.items()}
    if record.embedding:
        raw = np.asarray(record.embedding, dtype=_FLOATS).tobytes()
        data["vector"] = base64.b64encode(raw).decode("ascii")
    return data


def from_json(record_id: str, data: Mapping[str, Any], vector: Vector | None) -> MemoryRecord:
    """The record as it was, with what `to_json` stored and its vector."""
    rest = {name: value for name, value in data.items() if name != "vector"}
    return MemoryRecord(id=record_id, embedding=None if vector is None else vector.tolist(), **rest)


def vector_of(data: Mapping[str, Any]) -> Vector | None:
    text = data.get("vector")
    return None if text is None else np.frombuffer(base64.b64decode(text), dtype=_FLOATS)


def dimension(records: Iterable[MemoryRecord]) -> int | None:
    """The one dimension of the vectors of these records; None if there is no vector.

    Raises:
        EmbeddingDimensionMismatchError: the vectors have several.
    """
    found: int | None = None
    for record in records:
        size = len(record.embedding or ())
        if size and found not in (None, size):
            raise EmbeddingDimensionMismatchError(found, size)
        found = size or found
    return found


def naive_utc(time: datetime) -> datetime:
    return time if time.tzinfo is None else time.astimezone(UTC).replace(tzinfo=None)


def path(scope: str | None) -> str:
    """A scope in one form: a leading slash, none behind, none doubled; the root is '/'.

    >>> path("crew//sales/"), path(None)
    ('/crew/sales', '/')
    """
    return "/" + "/".join(part for part in (scope or "").split("/") if part)


def within(scope: str, parent: str) -> bool:
    """Whether a scope is `parent` or below it; both as `path` gives them.

    >>> within("/crew/sales/eu", "/crew/sales"), within("/crew/sales-eu", "/crew/sales")
    (True, False)
    """
    return parent == "/" or scope == parent or scope.startswith(parent + "/")


def children(scopes: Iterable[str], parent: str) -> list[str]:
    """The scopes one step below `parent`, in order.

    >>> children(["/a/b/c", "/a", "/ab"], "/a")
    ['/a/b']
    """
    start = parent.rstrip("/") + "/"
    below = {scope[len(start) :].partition("/")[0] for scope in scopes if scope.startswith(start)}
    return sorted(start + name for name in below if name)
