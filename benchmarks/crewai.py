"""`python benchmarks/crewai.py`: CrewAI's memory on BotWire beside its default storage, LanceDB.

At 100, 1,000 and 10,000 records: a search, a whole recall (embedding, search, noting what was
recalled, events), a save of one record and of a hundred, the first search of a new process, and a
search after another process saved a record and deleted one.
Embedded (SQLite) and over HTTP to a server process. Ratios are to LanceDB in the same run; nothing
is asserted. Options: --dimensions N (1536), --quick (no 10,000).
"""

import sys
from pathlib import Path

from table import interleaved, note, print_table

# This folder holds a file of the framework's name; from here on only the framework has it.
sys.path.remove(str(Path(__file__).parent))

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any

os.environ |= {
    "CREWAI_DISABLE_TELEMETRY": "true",
    "CREWAI_TRACING_ENABLED": "false",
    "CREWAI_TESTING": "true",
    "CREWAI_STORAGE_DIR": tempfile.mkdtemp(prefix="crewai-"),
}

import numpy as np
from crewai import Memory
from crewai.memory.storage.lancedb_storage import LanceDBStorage
from crewai.memory.types import MemoryRecord

from botwire.testing import ServerProcess
from botwire_crewai import BotWireMemory, BotWireStorage

WAYS = ("lancedb", "embedded", "http")


class Vectors:
    """Unit vectors that look like those of texts; the same ones for everybody."""

    def __init__(self, dimensions: int) -> None:
        self._random = np.random.default_rng(7)
        self._dimensions = dimensions

    def one(self) -> list[float]:
        vector = self._random.standard_normal(self._dimensions)
        return (vector / np.linalg.norm(vector)).astype(np.float32).tolist()

    def embed(self, texts: list[str]) -> list[list[float]]:
        return [self.one() for _ in texts]


def records(vectors: Vectors, count: int) -> list[MemoryRecord]:
    return [
        MemoryRecord(
            content=f"What was learned about customer {n}: prefers tea, pays on time.",
            scope=f"/crew/research/topic-{n % 7}",
            categories=[f"category-{n % 5}"],
            embedding=vectors.one(),
        )
        for n in range(count)
    ]


def fill(storage: Any, many: list[MemoryRecord]) -> None:
    for start in range(0, len(many), 500):
        storage.save(many[start : start + 500])
    if isinstance(storage, LanceDBStorage):
        storage.optimize()  # its best case


def milliseconds(act: Callable[[], object]) -> float:
    started = time.perf_counter()
    act()
    return (time.perf_counter() - started) * 1000


def requests(storage: BotWireStorage, act: Callable[[], object]) -> int:
    """How many requests this takes."""
    memory, asked = storage.mirror.memory, []
    run = memory._run
    memory._run = lambda operation: (asked.append(operation), run(operation))[1]
    act()
    del memory._run
    return len(asked)


def following(storage: Any, other: Any, vectors: Vectors, old: list[MemoryRecord]) -> float:
    """Milliseconds of a search after somebody else saved a record and deleted one."""
    found: list[float] = []
    for one in old:
        other.save(records(vectors, 1))
        other.delete(record_ids=[one.id])
        found.append(milliseconds(lambda: storage.search(vectors.one())))
    return statistics.median(found)


def measure(size: int, vectors: Vectors, urls: dict[str, str]) -> None:
    note(f"{size:,} records: filling")
    many = records(vectors, size)

    def opened(way: str) -> Any:
        if way == "lancedb":
            return LanceDBStorage(path=urls[way] + f"/{size}", compact_every=0)
        return BotWireStorage(f"bench-{size}", url=urls[way])

    storages = {way: opened(way) for way in WAYS}
    filled = {way: milliseconds(lambda s=s: fill(s, many)) for way, s in storages.items()}
    fresh = {way: opened(way) for way in WAYS}
    first = {way: milliseconds(lambda s=s: s.search(vectors.one())) for way, s in fresh.items()}

    def memory(way: str) -> Memory:
        kind = Memory if way == "lancedb" else BotWireMemory
        return kind(storage=storages[way], embedder=vectors.embed)

    memories = {way: memory(way) for way in WAYS}
    rows: list[list[object]] = []
    for name, ways in tasks_of(storages, memories, vectors).items():
        note(f"{size:,} records: {name}")
        found = interleaved(ways, repeat=3, rounds=5)
        rows.append(row(name, {way: micro / 1000 for way, micro in found.items()}))
    followed = {w: following(storages[w], fresh[w], vectors, many[:7]) for w in WAYS}
    rows += [
        row("first search", first),
        row("search, others wrote", followed),
        row("save all", filled),
    ]
    head = ["milliseconds", *WAYS, "embedded / lancedb", "http / lancedb"]
    print_table(f"{size:,} records", head, rows)
    told = requests_over_http(storages["http"], fresh["http"], memories["http"], many[9])
    print(f"  requests over HTTP: {told}")


def tasks_of(
    storages: dict[str, Any], memories: dict[str, Memory], vectors: Vectors
) -> dict[str, dict[str, Callable[[], object]]]:
    return {
        "search": {w: lambda s=s: s.search(vectors.one()) for w, s in storages.items()},
        "search in a scope": {
            w: lambda s=s: s.search(vectors.one(), scope_prefix="/crew/research/topic-3")
            for w, s in storages.items()
        },
        "recall": {w: lambda m=m: m.recall("tea", depth="shallow") for w, m in memories.items()},
        "save 1": {w: lambda s=s: s.save(records(vectors, 1)) for w, s in storages.items()},
        "save 100": {w: lambda s=s: s.save(records(vectors, 100)) for w, s in storages.items()},
    }


def requests_over_http(
    ours: BotWireStorage, behind: BotWireStorage, memory: Memory, old: MemoryRecord
) -> str:
    asked = requests(ours, lambda: ours.search(old.embedding or []))
    recalled = requests(ours, lambda: memory.recall("x", depth="shallow"))
    ours.save([old.model_copy(update={"id": "new"})])
    ours.delete(record_ids=[old.id])
    caught_up = requests(behind, lambda: behind.search(old.embedding or []))
    return f"{asked} a search, {caught_up} when others wrote, {recalled} a recall"


def row(name: str, found: dict[str, float]) -> list[object]:
    ratios = [f"{found[way] / found['lancedb']:.2f}" for way in WAYS[1:]]
    return [name, *(f"{found[way]:.2f}" for way in WAYS), *ratios]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--dimensions", type=int, default=1536)
    options.add_argument("--quick", action="store_true")
    given = options.parse_args()
    vectors = Vectors(given.dimensions)
    with (
        tempfile.TemporaryDirectory() as folder,
        ServerProcess(f"sqlite:///{folder}/server.db") as server,
    ):
        urls = {
            "lancedb": f"{folder}/lance",
            "embedded": f"sqlite:///{folder}/embedded.db",
            "http": server.url,
        }
        for size in (100, 1000) if given.quick else (100, 1000, 10_000):
            measure(size, vectors, urls)
    sys.stdout.flush()
    os._exit(0)  # LanceDB's threads abort a process that ends in order


if __name__ == "__main__":
    main()
