"""Memories: kept whole, found by words and filters, and nobody sees anybody else's."""

from collections.abc import Callable
from typing import Any

import pytest
from haystack import Pipeline
from haystack.components.builders import PromptBuilder
from haystack.errors import FilterError
from haystack_scripts import ScriptedChatGenerator, answering, assistant, awaited, texts, user
from hypothesis import given, settings
from hypothesis import strategies as st

from haystack_integrations.components.retrievers.botwire import BotWireMemoryRetriever
from haystack_integrations.components.writers.botwire import BotWireMemoryWriter
from haystack_integrations.memory_stores.botwire import BotWireMemoryStore
from haystack_integrations.memory_stores.botwire.ranking import scores

Does = Callable[..., Any]
TEA = user("I drink green tea", meta={"topic": "drinks", "weight": 3})
CITY = user("I live in Turin", meta={"topic": "home", "weight": 1})
COFFEE = assistant("Coffee keeps you awake", meta={"topic": "drinks", "weight": 2})


def test_memories_are_found_by_their_words_best_first(
    memories: BotWireMemoryStore, does: Does
) -> None:
    does(memories, "add_memories", messages=[TEA, CITY, COFFEE], user_id="ada")
    found = does(memories, "search_memories", query="Green tea, or TEA?", user_id="ada")
    assert texts(found) == ["I drink green tea"]
    found = does(memories, "search_memories", query="i live where I drink", user_id="ada")
    assert texts(found) == ["I live in Turin", "I drink green tea"]
    assert does(memories, "search_memories", query="zebra", user_id="ada") == []


def test_without_a_query_the_newest_come_first_and_top_k_holds(
    memories: BotWireMemoryStore, does: Does
) -> None:
    for number in range(7):
        does(memories, "add_memories", messages=[user(f"fact {number}")], user_id="ada")
    assert texts(does(memories, "search_memories", user_id="ada", top_k=2)) == ["fact 6", "fact 5"]
    assert len(does(memories, "search_memories", user_id="ada")) == 5
    assert does(memories, "search_memories", user_id="ada", top_k=0) == []


def test_messages_come_back_whole(memories: BotWireMemoryStore) -> None:
    memories.add_memories(messages=[TEA, answering("x")], user_id="ada")
    assert memories.search_memories(user_id="ada") == [answering("x"), TEA]
    assert memories.search_memories(query="found", user_id="ada") == [answering("x")]


def test_saying_the_same_again_leaves_one_memory_as_new_as_the_last_time(
    memories: BotWireMemoryStore,
) -> None:
    first = memories.add_memories(messages=[TEA, CITY], user_id="ada")
    stored = user(str(TEA.text), meta={**TEA.meta, "chat_message_id": "from a conversation"})
    assert memories.add_memories(messages=[stored], user_id="ada") == first[:1]
    assert memories.search_memories(user_id="ada") == [TEA, CITY]


def test_each_scope_sees_what_belongs_to_it(memories: BotWireMemoryStore) -> None:
    scopes: list[dict[str, str]] = [
        {"user_id": "ada"},
        {"user_id": "ada", "agent_id": "cook"},
        {"user_id": "ada", "run_id": "r1"},
        {"user_id": "ada", "agent_id": "cook", "run_id": "r1"},
        {"user_id": "ada/x"},
        {"user_id": "bob", "agent_id": "cook"},
        {"agent_id": "cook"},
        {"run_id": "r1"},
    ]
    for scope in scopes:
        memories.add_memories(messages=[user(str(sorted(scope.values())))], **scope)
    for asked in scopes:
        found = texts(memories.search_memories(top_k=100, **asked))
        belonging = [s for s in scopes if all(s.get(name) == id_ for name, id_ in asked.items())]
        assert sorted(map(str, found)) == sorted(str(sorted(s.values())) for s in belonging)


def test_a_scope_is_needed(memories: BotWireMemoryStore, does: Does) -> None:
    needed = "give at least one of user_id, agent_id and run_id"
    for method, arguments in [
        ("add_memories", {"messages": [TEA]}),
        ("search_memories", {"query": "tea"}),
        ("search_memories", {"user_id": ""}),
        ("delete_all_memories", {}),
    ]:
        with pytest.raises(ValueError, match=needed):
            does(memories, method, **arguments)


def test_haystack_filters_choose_among_memories(memories: BotWireMemoryStore) -> None:
    memories.add_memories(messages=[TEA, CITY, COFFEE], user_id="ada")
    memories.add_memories(messages=[user("I drink milk", meta={"topic": "drinks"})], user_id="bob")

    def found(filters: dict[str, Any], **scope: Any) -> list[Any]:
        return sorted(map(str, texts(memories.search_memories(filters=filters, **scope))))

    drinks = {"field": "meta.topic", "operator": "==", "value": "drinks"}
    light = {"field": "meta.weight", "operator": "<", "value": 3}
    both = {"operator": "AND", "conditions": [drinks, light]}
    assert found(drinks, user_id="ada") == ["Coffee keeps you awake", "I drink green tea"]
    assert found(both, user_id="ada") == ["Coffee keeps you awake"]
    assert found({"operator": "NOT", "conditions": [drinks]}, user_id="ada") == ["I live in Turin"]
    assert found(drinks, user_id="bob") == ["I drink milk"]
    bobs = {"field": "user_id", "operator": "==", "value": "bob"}
    assert found(bobs) == ["I drink milk"]
    assert found(bobs, user_id="ada") == []
    words = {"field": "content", "operator": "==", "value": "I live in Turin"}
    assert found(words, user_id="ada") == ["I live in Turin"]
    with pytest.raises(FilterError):
        found({"field": "meta.topic", "value": 1}, user_id="ada")


def test_what_is_known_about_a_memory_is_told_when_asked_for(memories: BotWireMemoryStore) -> None:
    (id_,) = memories.add_memories(messages=[TEA], user_id="ada", run_id="r1")
    (found,) = memories.search_memories(query="tea", user_id="ada", include_memory_metadata=True)
    facts = found.meta["retrieved_memory_metadata"]
    assert facts["memory_id"] == id_
    assert (facts["user_id"], facts["agent_id"], facts["run_id"]) == ("ada", None, "r1")
    assert facts["score"] > 0
    assert facts["created_at"] == facts["updated_at"]
    assert found.meta["topic"] == "drinks"


def test_memories_are_forgotten_one_by_one_or_by_scope(
    memories: BotWireMemoryStore, does: Does
) -> None:
    tea, city = does(memories, "add_memories", messages=[TEA, CITY], user_id="ada")
    assert does(memories, "delete_memory", tea) is True
    assert does(memories, "delete_memory", tea) is False
    assert does(memories, "search_memories", user_id="ada") == [CITY]
    does(memories, "add_memories", messages=[TEA], user_id="ada", agent_id="cook")
    does(memories, "add_memories", messages=[TEA], user_id="bob", agent_id="cook")
    assert does(memories, "delete_all_memories", agent_id="cook") == 2
    assert does(memories, "search_memories", user_id="ada") == [CITY]
    assert does(memories, "delete_all_memories", user_id="ada") == 1
    assert city


def test_adding_is_one_round_trip_and_so_is_forgetting_a_user(
    memories: BotWireMemoryStore, operations: list[str]
) -> None:
    memories.add_memories(messages=[TEA, CITY, COFFEE], user_id="ada")
    memories.delete_all_memories(user_id="ada")
    assert operations == ["set_many", "clear"]
    assert memories.add_memories(messages=[], user_id="ada") == []


def test_memories_can_end(url: str, made: Callable[..., Any]) -> None:
    store = made(BotWireMemoryStore("test", url=url, ttl=3600, sliding=True))
    (id_,) = store.add_memories(messages=[TEA], user_id="ada")
    entry = store.memory.head(f"memories/{id_}")
    assert (entry.ttl, entry.sliding) == (3600, True)


def test_more_memories_than_a_page_are_all_searched(memories: BotWireMemoryStore) -> None:
    memories.add_memories(messages=[user(f"fact {n}") for n in range(2300)], user_id="ada")
    assert len(memories.search_memories(user_id="ada", top_k=5000)) == 2300
    assert memories.delete_all_memories(user_id="ada") == 2300


# -- components --------------------------------------------------------------------------------


@pytest.fixture(params=["sync", "async"])
def run(request: pytest.FixtureRequest) -> Callable[..., Any]:
    if request.param == "sync":
        return lambda pipe, data: pipe.run(data)
    return lambda pipe, data: awaited(pipe.run_async(data))


def test_a_pipeline_asks_its_memories_and_adds_to_them(
    memories: BotWireMemoryStore, run: Callable[..., Any]
) -> None:
    pipe = Pipeline()
    pipe.add_component("memories", BotWireMemoryRetriever(memory_store=memories, top_k=3))
    template = "Known: {% for m in memories %}{{ m.text }};{% endfor %} Q: {{ query }}"
    pipe.add_component("prompt", PromptBuilder(template))
    pipe.add_component("llm", ScriptedChatGenerator(["Green."]))
    pipe.add_component("writer", BotWireMemoryWriter(memory_store=memories))
    pipe.connect("memories.memories", "prompt.memories")
    pipe.connect("prompt.prompt", "llm.messages")
    pipe.connect("llm.replies", "writer.messages")
    memories.add_memories(messages=[TEA, CITY], user_id="ada")
    data = {
        "memories": {"query": "what tea?", "user_id": "ada"},
        "prompt": {"query": "what tea?"},
        "writer": {"user_id": "ada", "run_id": "r1"},
    }
    assert run(pipe, data) == {"writer": {"memories_written": 1}}
    shown = texts(pipe.get_component("llm").seen[0])
    assert shown == ["Known: I drink green tea; Q: what tea?"]
    assert len(memories.search_memories(user_id="ada", run_id="r1")) == 1


def test_the_retriever_passes_on_everything_it_is_asked(memories: BotWireMemoryStore) -> None:
    memories.add_memories(messages=[TEA, CITY, COFFEE], user_id="ada")
    retriever = BotWireMemoryRetriever(memory_store=memories, top_k=1)
    assert retriever.run(user_id="ada") == {"memories": [COFFEE]}
    drinks = {"field": "topic", "operator": "==", "value": "drinks"}
    assert len(retriever.run(user_id="ada", filters=drinks, top_k=9)["memories"]) == 2
    found = retriever.run("turin", user_id="ada", include_memory_metadata=True)["memories"]
    assert found[0].meta["retrieved_memory_metadata"]["user_id"] == "ada"


# -- ranking -----------------------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=30), st.lists(st.text(max_size=30), max_size=6))
def test_a_text_scores_exactly_when_it_shares_a_word(query: str, known: list[str]) -> None:
    import re

    wanted = set(re.findall(r"\w+", query.casefold()))
    for text, score in zip(known, scores(query, known), strict=True):
        assert (score > 0) == bool(wanted & set(re.findall(r"\w+", text.casefold())))


def test_rare_words_and_repetition_count_more() -> None:
    known = ["tea tea tea", "tea", "tea milk", "sugar and water and salt and milk"]
    points = scores("tea milk", known)
    assert points[2] == max(points)
    assert points[0] > points[1]
