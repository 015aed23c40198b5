"""The record manager under LangChain's indexing."""

import asyncio
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.indexing import aindex, index
from langchain_core.vectorstores import InMemoryVectorStore

from botwire import Memory
from botwire.testing import FakeClock
from botwire_langchain import BotWireRecordManager


@pytest.fixture
def manager(timed: Memory, face: Any) -> Any:
    return face(BotWireRecordManager("docs", memory=timed))


def test_records_have_a_time_and_a_group(manager: Any, clock: FakeClock) -> None:
    manager.create_schema()
    start = manager.get_time()
    assert start == pytest.approx(clock.now)
    clock.advance(1)
    manager.update(["a", "b"], group_ids=["one", "two"])
    clock.advance(1)
    manager.update(["c"], time_at_least=start)
    manager.update([])
    assert manager.exists(["c", "x", "a"]) == [True, False, True]
    assert manager.list_keys() == ["a", "b", "c"]
    assert manager.list_keys(group_ids=["two"]) == ["b"]
    assert manager.list_keys(before=start + 2) == ["a", "b"]
    assert manager.list_keys(after=start + 1) == ["c"]
    assert manager.list_keys(before=start + 1) == manager.list_keys(after=start + 2) == []
    assert manager.list_keys(limit=2) == ["a", "b"]
    manager.delete_keys(["a", "x"])
    assert manager.list_keys() == ["b", "c"]


def test_what_cannot_be_is_refused(manager: Any) -> None:
    with pytest.raises(ValueError, match="2 keys need as many group ids, not 1"):
        manager.update(["a", "b"], group_ids=["one"])
    with pytest.raises(ValueError, match="in the future"):
        manager.update(["a"], time_at_least=manager.get_time() + 10)
    assert manager.list_keys() == []


def test_managers_of_other_names_have_records_of_their_own(timed: Memory) -> None:
    for name in ("docs", "docs2", "doc"):
        BotWireRecordManager(name, memory=timed).update([name])
    assert BotWireRecordManager("docs", memory=timed).list_keys() == ["docs"]


def documents(*texts: str) -> list[Document]:
    return [Document(text, metadata={"source": text[0]}) for text in texts]


@pytest.mark.parametrize("cleanup", ["full", "incremental"])
@pytest.mark.parametrize("awaited", [False, True], ids=["sync", "async"])
def test_indexing_adds_what_is_new_and_removes_what_is_gone(
    url: str, cleanup: Any, awaited: bool, round_trips: list[str]
) -> None:
    vectors = InMemoryVectorStore(DeterministicFakeEmbedding(size=4))

    def run(*texts: str) -> tuple[int, int, int]:
        manager = BotWireRecordManager("docs", url=url)
        options: Any = {"cleanup": cleanup, "source_id_key": "source", "key_encoder": "sha256"}
        arguments = (documents(*texts), manager, vectors)
        done: Any = (
            asyncio.run(aindex(*arguments, **options)) if awaited else index(*arguments, **options)
        )
        return done["num_added"], done["num_skipped"], done["num_deleted"]

    assert run("a1", "a2", "b1") == (3, 0, 0)
    round_trips.clear()
    assert run("a1", "a2", "b1") == (0, 3, 0)
    assert len(round_trips) <= 5
    assert run("a1", "a3", "b1") == (1, 2, 1)
    assert sorted(document.page_content for document in vectors.similarity_search("x", k=9)) == [
        "a1",
        "a3",
        "b1",
    ]
