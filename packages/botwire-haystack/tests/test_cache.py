"""Documents by the item they came from: all items in one round trip, any item, any length."""

from collections.abc import Callable
from typing import Any

import pytest
from haystack import Document, Pipeline, component
from haystack.dataclasses import ByteStream
from haystack_scripts import awaited

from botwire import Memory
from haystack_integrations.components.caching.botwire import BotWireCache, BotWireCacheWriter


@pytest.fixture
def cache(url: str, made: Callable[..., Any]) -> Any:
    return made(BotWireCache("test", url=url, cache_field="url"))


@pytest.fixture(params=["sync", "async"])
def run(request: pytest.FixtureRequest) -> Callable[..., Any]:
    if request.param == "sync":
        return lambda thing, data: thing.run(data)
    return lambda thing, data: awaited(thing.run_async(data))


def test_known_items_are_hits_and_the_others_misses_in_order(
    cache: Any, run: Callable[..., Any]
) -> None:
    documents = [
        Document(content="a1", meta={"url": "a"}),
        Document(content="b", meta={"url": "b", "n": [1]}, blob=ByteStream(b"\0\xff")),
        Document(content="a2", meta={"url": "a"}),
    ]
    assert run(BotWireCacheWriter(cache), documents) == {"documents_written": 3}
    out = run(cache, ["c", "b", "a", "d"])
    assert out == {"hits": [documents[1], documents[0], documents[2]], "misses": ["c", "d"]}
    assert run(cache, []) == {"hits": [], "misses": []}


def test_documents_of_an_item_take_the_place_of_earlier_ones(cache: Any) -> None:
    writer = BotWireCacheWriter(cache)
    writer.run([Document(content="old", meta={"url": "a"})])
    writer.run([Document(content="new", meta={"url": "a"})])
    assert [document.content for document in cache.run(["a"])["hits"]] == ["new"]


def test_items_may_be_any_json_value_of_any_length(url: str, made: Callable[..., Any]) -> None:
    cache = made(BotWireCache("test", url=url, cache_field="meta.item"))
    items: list[Any] = [1, "1", True, None, ["x", {"y": 1.5}], "https://example.com/" + "a" * 5000]
    documents = [Document(content=str(n), meta={"item": item}) for n, item in enumerate(items)]
    BotWireCacheWriter(cache).run(documents)
    for number, item in enumerate(items):
        assert [hit.content for hit in cache.run([item])["hits"]] == [str(number)]


def test_caches_of_other_fields_keep_apart(cache: Any, url: str, made: Callable[..., Any]) -> None:
    other = made(BotWireCache("test", url=url, cache_field="hash"))
    BotWireCacheWriter(cache).run([Document(content="x", meta={"url": "a", "hash": "h"})])
    assert other.run(["a", "h"])["misses"] == ["a", "h"]


def test_a_document_without_the_field_is_refused_and_nothing_is_kept(cache: Any) -> None:
    documents = [Document(content="x", meta={"url": "a"}), Document(id="lost", content="y")]
    with pytest.raises(ValueError, match="document lost has no 'url' in its meta"):
        BotWireCacheWriter(cache).run(documents)
    assert cache.run(["a"])["misses"] == ["a"]


def test_what_is_cached_can_expire(url: str, made: Callable[..., Any]) -> None:
    cache = made(BotWireCache("test", url=url, cache_field="url", ttl=60, sliding=True))
    BotWireCacheWriter(cache).run([Document(content="x", meta={"url": "a"})])
    memory = Memory("test", url=url)
    (entry,) = memory.entries("cache/", values=False)
    assert (entry.ttl, entry.sliding) == (60, True)


@component
class Fetcher:
    """Fetches what it is asked for, and remembers what that was."""

    def __init__(self) -> None:
        self.fetched: list[Any] = []

    @component.output_types(documents=list[Document])
    def run(self, items: list) -> dict[str, Any]:  # type: ignore[type-arg]  as CacheChecker's socket
        self.fetched += items
        return {"documents": [Document(content=item, meta={"url": item}) for item in items]}


def test_a_pipeline_fetches_only_what_it_does_not_know(cache: Any) -> None:
    pipe = Pipeline()
    pipe.add_component("cache", cache)
    pipe.add_component("fetcher", Fetcher())
    pipe.add_component("writer", BotWireCacheWriter(cache))
    pipe.connect("cache.misses", "fetcher.items")
    pipe.connect("fetcher.documents", "writer.documents")
    for items in (["a", "b"], ["b", "c"]):
        pipe.run({"cache": {"items": items}})
    assert pipe.get_component("fetcher").fetched == ["a", "b", "c"]
