"""Embeddings: which texts of an item get one, how they are kept, and how near they are."""

import base64
import math
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import mul
from typing import Any

from langchain_core.embeddings import Embeddings
from langgraph.store.base import IndexConfig, ensure_embeddings, get_text_at_path

__all__ = ["Index", "nearness", "read_vectors", "write_vectors"]


@dataclass(frozen=True, slots=True)
class Index:
    """What `index=` said: which fields are embedded, by what, into how many numbers."""

    embeddings: Embeddings
    fields: Sequence[str]
    dims: int | None

    @classmethod
    def of(cls, config: IndexConfig) -> "Index":
        fields = config.get("fields") or ["$"]
        return cls(ensure_embeddings(config.get("embed")), fields, config.get("dims"))

    def texts(self, value: Mapping[str, Any], fields: Sequence[str] | None) -> list[str]:
        """The texts of a value that get an embedding each."""
        paths = self.fields if fields is None else fields
        return [found for path in paths for found in get_text_at_path(dict(value), path)]

    def check(self, vectors: Iterable[Sequence[float]]) -> None:
        for vector in vectors:
            if self.dims is not None and len(vector) != self.dims:
                raise ValueError(
                    f"the embedding has {len(vector)} dimensions; index= says {self.dims}"
                )


def write_vectors(vectors: Iterable[Sequence[float]]) -> list[str]:
    """Vectors as texts: single precision, which is what models give, in base64."""
    return [base64.b64encode(array("f", vector).tobytes()).decode() for vector in vectors]


def read_vectors(texts: Iterable[str]) -> "list[array[float]]":
    return [array("f", base64.b64decode(text)) for text in texts]


def nearness(query: Sequence[float], vectors: Iterable[Sequence[float]]) -> float | None:
    """The greatest cosine similarity of any of the vectors; None if there is none."""
    length = math.hypot(*query)
    return max((_cosine(query, length, vector) for vector in vectors), default=None)


def _cosine(query: Sequence[float], length: float, vector: Sequence[float]) -> float:
    product = length * math.hypot(*vector)
    return sum(map(mul, query, vector)) / product if product else 0.0
