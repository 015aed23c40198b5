"""The byte store: LangChain's standard tests through both faces, and what its users do with it."""

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.stores import BaseStore
from langchain_tests.integration_tests import BaseStoreAsyncTests, BaseStoreSyncTests

from botwire.errors import InvalidKey, InvalidRequest
from botwire.testing import FakeClock
from botwire_langchain import BotWireByteStore

THREE = (b"\x00\xff", b"", "é".encode())


class TestStandardSync(BaseStoreSyncTests[bytes]):
    @pytest.fixture
    def kv_store(self, url: str) -> BaseStore[str, bytes]:
        return BotWireByteStore(url=url)

    @pytest.fixture
    def three_values(self) -> tuple[bytes, bytes, bytes]:
        return THREE


class TestStandardAsync(BaseStoreAsyncTests[bytes]):
    @pytest.fixture
    async def kv_store(self, url: str) -> BaseStore[str, bytes]:
        return BotWireByteStore(url=url)

    @pytest.fixture
    def three_values(self) -> tuple[bytes, bytes, bytes]:
        return THREE


def test_many_are_one_round_trip(url: str, face: Any, round_trips: list[str]) -> None:
    store = face(BotWireByteStore(url=url))
    store.mset([(str(number), bytes([number])) for number in range(200)])
    assert store.mget(["7", "nothing", "9", "7"]) == [b"\x07", None, b"\x09", b"\x07"]
    store.mdelete(["7", "nothing"])
    assert round_trips == ["set_many", "get_many", "delete_many"]
    assert list(store.yield_keys(prefix="19")) == ["19", *(f"19{n}" for n in range(10))]
    assert len(list(store.yield_keys())) == 199


def test_keys_are_an_iterator_that_reads_as_it_goes(url: str, round_trips: list[str]) -> None:
    store = BotWireByteStore(url=url)
    store.mset([(f"{number:04}", b"") for number in range(1500)])
    round_trips.clear()
    keys = store.yield_keys()
    assert isinstance(keys, Generator)
    assert next(keys) == "0000"
    assert round_trips == ["scan"]


def test_bytes_expire(timed: Any, clock: FakeClock) -> None:
    store = BotWireByteStore(memory=timed, ttl=60)
    store.mset([("a", b"1")])
    clock.advance(60)
    assert store.mget(["a"]) == [None]
    for ttl in (0, -1):
        with pytest.raises(InvalidRequest):
            BotWireByteStore(memory=timed, ttl=ttl)


def test_a_key_that_cannot_be_is_refused_and_nothing_is_set(url: str) -> None:
    store = BotWireByteStore(url=url)
    with pytest.raises(InvalidKey):
        store.mset([("a", b"1"), ("x" * 513, b"2")])
    assert store.mget(["a"]) == [None]


def test_embeddings_are_cached_in_it(url: str, round_trips: list[str]) -> None:
    from langchain_classic.embeddings import CacheBackedEmbeddings

    class Counting(DeterministicFakeEmbedding):
        asked: int = 0

        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            self.asked += len(texts)
            return super().embed_documents(texts)

    model = Counting(size=4)
    cached = CacheBackedEmbeddings.from_bytes_store(
        model, BotWireByteStore(url=url), namespace="model", key_encoder="sha256"
    )
    first = cached.embed_documents(["a", "b"])
    again = CacheBackedEmbeddings.from_bytes_store(
        model, BotWireByteStore(url=url), namespace="model", key_encoder="sha256"
    )
    assert again.embed_documents(["b", "a"]) == first[::-1]
    assert model.asked == 2


def test_documents_are_kept_in_it(url: str, tmp_path: Path) -> None:
    from langchain_classic.storage import create_kv_docstore

    docstore = create_kv_docstore(BotWireByteStore(url=url))
    document = Document("text", metadata={"page": 1}, id="d")
    docstore.mset([("d", document)])
    again = create_kv_docstore(BotWireByteStore(url=url))
    assert again.mget(["d", "e"]) == [document, None]
