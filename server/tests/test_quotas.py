"""Quotas are exact, cost nothing where nothing changed, and show in headers and usage."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from botwire import QuotaExceeded
from botwire.testing import ServerProcess


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("limited")
    store = f"sqlite:///{folder / 'limited.db'}"
    with ServerProcess(store, writes_per_day=100, namespace_bytes=2000) as process:
        yield process


def test_the_last_allowed_write_passes_and_the_next_does_not(limited: ServerProcess) -> None:
    with limited.memory("writes") as memory:
        for number in range(100):
            memory.set("k", number)
        with pytest.raises(QuotaExceeded) as refused:
            memory.set("k", 100)
        assert memory.get("k") == 99
        assert refused.value.policy == "writes"
        assert refused.value.limit == 100
        assert 0 < refused.value.reset_s <= 86401
        assert memory.usage().writes_today == 100


def test_concurrent_writers_never_overshoot(limited: ServerProcess) -> None:
    def write(number: int) -> bool:
        with limited.memory("race") as memory:
            try:
                return bool(memory.append("log", number))
            except QuotaExceeded:
                return False

    with ThreadPoolExecutor(16) as pool:
        passed = sum(pool.map(write, range(150)))
    with limited.memory("race") as memory:
        assert passed == 100
        assert len(memory.get("log")) == 100


def test_what_changes_nothing_is_free(limited: ServerProcess) -> None:
    with limited.memory("free") as memory:
        memory.set("k", {"a": 1})
        memory.delete("missing")
        memory.merge("k", {"a": 1})
        memory.increment("n", 0) if memory.exists("n") else None
        memory.clear("nothing:")
        with pytest.raises(ValueError, match="ttl"):
            memory.set("k", 1, ttl=-1)
        assert memory.usage().writes_today == 1


def test_bytes_are_limited_and_deleting_makes_room(limited: ServerProcess) -> None:
    with limited.memory("bytes") as memory:
        memory.set("a", "x" * 1500)
        with pytest.raises(QuotaExceeded) as refused:
            memory.set("b", "x" * 1500)
        assert refused.value.policy == "storage"
        memory.delete("a")
        memory.set("b", "x" * 1500)
        assert memory.usage().bytes == 1503


def test_headers_tell_what_is_left(limited: ServerProcess) -> None:
    with httpx.Client(base_url=limited.url) as client:
        response = client.put("/memory/headers/k", json={"value": "x" * 98})
        assert response.headers["ratelimit-policy"] == (
            '"writes";q=100;w=86400, "storage";q=2000;qu="content-bytes"'
        )
        writes, storage = response.headers["ratelimit"].split(", ")
        assert writes.startswith('"writes";r=99;t=')
        assert storage == '"storage";r=1899'
        assert client.get("/memory/headers/k").headers["ratelimit"].startswith('"writes";r=99')


def test_a_used_up_quota_is_a_429_that_names_the_policy(limited: ServerProcess) -> None:
    with httpx.Client(base_url=limited.url) as client:
        for _ in range(101):
            response = client.put("/memory/problem/k", json={"value": 1})
        assert response.status_code == 429
        problem = response.json()
        assert problem["type"].endswith("#quota-exceeded")
        assert problem["violated-policies"] == ["writes"]
        assert problem["retryable"] is False
        assert int(response.headers["retry-after"]) == problem["reset_s"]
        assert client.get("/memory/problem/k").status_code == 200


def test_the_free_tier_is_a_thousand_writes_and_fifty_megabytes(tmp_path: Path) -> None:
    with (
        ServerProcess(f"sqlite:///{tmp_path / 'free.db'}", free_tier=True) as server,
        server.memory("free") as memory,
    ):
        usage = memory.usage()
        assert usage.writes_per_day == 1000
        assert usage.namespace_bytes == 50_000_000
