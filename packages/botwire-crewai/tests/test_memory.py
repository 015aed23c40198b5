"""CrewAI's `Memory` over BotWire, and what `BotWireMemory` mends of the framework's own."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from crewai import Agent, Crew, Memory, Task
from crewai.events import crewai_event_bus
from crewai.events.types.memory_events import MemoryQueryFailedEvent, MemorySaveFailedEvent
from crewai.memory.analyze import (
    ConsolidationAction,
    ConsolidationPlan,
    ExtractedMemories,
    MemoryAnalysis,
    QueryAnalysis,
)
from crewai.memory.storage.factory import set_memory_storage_factory
from crewai.state import CheckpointConfig
from scripted_model import ScriptedModel, words
from storage_help import requests_of

from botwire.errors import Unreachable
from botwire_crewai import (
    BotWireCheckpointProvider,
    BotWireMemory,
    BotWireStorage,
    register_botwire,
)
from botwire_crewai.records import EmbeddingDimensionMismatchError

GIVEN: dict[str, Any] = {"categories": ["city"], "importance": 0.5}


@pytest.fixture(autouse=True)
def _no_factory_stays() -> Iterator[None]:
    yield
    set_memory_storage_factory(None)


@pytest.fixture
def model() -> ScriptedModel:
    """What a memory asks about records; only with function calling it asks in a typed way."""
    return ScriptedModel(style="native", script=["x"] * 20)


@pytest.fixture
def memory(storage: BotWireStorage, model: ScriptedModel) -> Iterator[BotWireMemory]:
    memory = BotWireMemory(storage=storage, llm=model, embedder=words)
    yield memory
    memory.close()


def texts(found: Any) -> list[str]:
    return [match.record.content for match in found]


# -- by name -------------------------------------------------------------------------------------


def test_a_memory_is_named_by_its_namespace(url: str, model: ScriptedModel) -> None:
    register_botwire(url=url)
    one = Memory(storage="botwire:crew-a", llm=model, embedder=words)
    one.remember("Oslo is in Norway", scope="/geo", **GIVEN)
    again = Memory(storage="botwire:crew-a", llm=model, embedder=words)
    assert texts(again.recall("Where is Oslo", depth="shallow")) == ["Oslo is in Norway"]
    assert Memory(storage="botwire:crew-b", llm=model, embedder=words).list_records() == []
    assert one._storage is again._storage  # one matrix for all in this process


def test_memory_true_goes_where_it_was_told(url: str, model: ScriptedModel) -> None:
    register_botwire("project", url=url)
    agent = Agent(role="a", goal="g", backstory="b", llm=model)
    task = Task(description="d", expected_output="e", agent=agent)
    crew = Crew(agents=[agent], tasks=[task], memory=True, tracing=False)
    assert isinstance(crew._memory._storage, BotWireStorage)
    assert crew._memory._storage.namespace == "project"


def test_without_a_namespace_other_memories_stay_where_they_are(url: str, tmp_path: Path) -> None:
    register_botwire(url=url)
    assert not isinstance(Memory(storage=str(tmp_path / "lance"))._storage, BotWireStorage)


def test_a_botwire_memory_takes_a_storage_or_a_name_and_nothing_else(url: str) -> None:
    register_botwire(url=url)
    assert BotWireMemory(storage="botwire:a")._storage.namespace == "a"
    for wrong in ("lancedb", "somewhere", object()):
        with pytest.raises(ValueError, match="botwire:my-crew"):
            BotWireMemory(storage=wrong)


def test_a_name_needs_no_registration(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("BOTWIRE_URL", url)
    memory = BotWireMemory(storage="botwire:a", embedder=words)
    assert memory.list_records() == []


# -- scopes --------------------------------------------------------------------------------------


def test_a_deep_recall_finds_what_is_at_the_scope_itself(memory: BotWireMemory) -> None:
    memory.remember("the capital is Oslo", scope="/geo", **GIVEN)
    memory.remember("the capital has trams", scope="/geo/traffic", **GIVEN)
    found = texts(memory.recall("the capital", scope="/geo"))
    assert set(found) == {"the capital is Oslo", "the capital has trams"}


def test_a_deep_recall_misses_nothing_among_many_scopes(memory: BotWireMemory) -> None:
    for n in range(30):
        memory.remember(f"note number {n}", scope=f"/s{n:02}", **GIVEN)
    assert texts(memory.recall("note number 29", limit=1)) == ["note number 29"]


def test_a_recall_asks_the_server_once_and_writes_once(memory: BotWireMemory) -> None:
    for n in range(5):
        memory.remember(f"note {n}", scope=f"/s{n}", **GIVEN)
    asked = requests_of(memory._storage)
    assert len(memory.recall("note")) == 5
    assert [type(operation).__name__ for operation in asked] == ["Usage", "Batch"]


def test_a_recall_of_a_read_only_memory_writes_nothing(memory: BotWireMemory) -> None:
    memory.remember("note", scope="/s", **GIVEN)
    memory.read_only = True
    asked = requests_of(memory._storage)
    assert texts(memory.recall("note")) == ["note"]
    assert len(asked) == 1


def test_a_model_that_names_other_scopes_does_not_reach_them(
    storage: BotWireStorage, model: ScriptedModel
) -> None:
    everyone = BotWireMemory(storage=storage, llm=model, embedder=words)
    everyone.remember("the code is 1234", scope="/crew/other", **GIVEN)
    everyone.remember("the code is secret", scope="/crew/mine/notes", **GIVEN)
    model.answers["QueryAnalysis"] = QueryAnalysis(
        keywords=[],
        suggested_scopes=["/crew/other", "/"],
        complexity="simple",
        recall_queries=["the code"],
    )
    mine = BotWireMemory(storage=storage, llm=model, embedder=words, root_scope="/crew/mine")
    long_query = "the code " * 30  # long enough that the model is asked for scopes
    assert texts(mine.recall(long_query)) == ["the code is secret"]


def test_updates_stay_below_the_root_scope(storage: BotWireStorage, model: ScriptedModel) -> None:
    mine = BotWireMemory(storage=storage, llm=model, embedder=words, root_scope="/me")
    theirs = BotWireMemory(storage=storage, llm=model, embedder=words, root_scope="/them")
    own, other = (memory.remember("a fact", scope="/facts", **GIVEN) for memory in (mine, theirs))
    with pytest.raises(ValueError, match="Record not found"):
        mine.update(other.id, content="changed")
    assert mine.update(own.id, scope="/moved", importance=0.9).scope == "/me/moved"
    assert texts(mine.recall("fact", depth="shallow")) == ["a fact"]


def test_scopes_and_slices_of_a_memory_work(memory: BotWireMemory) -> None:
    red, blue = memory.scope("/red"), memory.scope("/blue")
    red.remember("tea is red", scope="/", **GIVEN)
    red.remember("tea is redder", scope="/deep", **GIVEN)
    blue.remember("tea is blue", scope="/", **GIVEN)
    memory.remember("tea is anything", scope="/", **GIVEN)
    assert set(texts(red.recall("tea"))) == {"tea is red", "tea is redder"}
    both = memory.slice(["/red/deep", "/blue"], read_only=True)
    for depth in ("shallow", "deep"):
        found = texts(both.recall("tea", depth=depth))
        assert set(found) == {"tea is redder", "tea is blue"}


def test_forgetting_by_id_leaves_other_root_scopes(
    storage: BotWireStorage, model: ScriptedModel
) -> None:
    mine = BotWireMemory(storage=storage, llm=model, embedder=words, root_scope="/me")
    theirs = BotWireMemory(storage=storage, llm=model, embedder=words, root_scope="/them")
    other = theirs.remember("a fact", scope="/facts", **GIVEN)
    assert mine.forget(record_ids=[other.id]) == 0
    assert theirs.forget(record_ids=[other.id]) == 1


def test_resetting_all_stays_below_the_root_scope(
    storage: BotWireStorage, model: ScriptedModel
) -> None:
    mine = BotWireMemory(storage=storage, llm=model, embedder=words, root_scope="/me")
    theirs = BotWireMemory(storage=storage, llm=model, embedder=words, root_scope="/them")
    for memory in (mine, theirs):
        memory.remember("a fact", scope="/facts", **GIVEN)
    mine.reset_all()
    assert (len(mine.list_records()), len(theirs.list_records())) == (0, 1)
    BotWireMemory(storage=storage, llm=model, embedder=words).reset_all()
    assert theirs.list_records() == []


# -- privacy -------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", ["shallow", "deep"])
def test_private_records_are_their_sources_alone(memory: BotWireMemory, depth: Any) -> None:
    memory.remember("alice likes tea", scope="/", source="alice", private=True, **GIVEN)
    memory.remember("nobody likes rain", scope="/", source=None, private=True, **GIVEN)
    assert texts(memory.recall("likes", depth=depth, source="alice")) == ["alice likes tea"]
    assert texts(memory.recall("likes", depth=depth, source="bob")) == []
    assert texts(memory.recall("likes", depth=depth)) == []
    assert len(memory.recall("likes", depth=depth, include_private=True)) == 2


@pytest.mark.parametrize("depth", ["shallow", "deep"])
def test_private_records_of_others_take_nobodys_place(memory: BotWireMemory, depth: Any) -> None:
    for n in range(30):
        memory.remember(f"tea {n}", scope="/a", source="alice", private=True, **GIVEN)
    memory.remember("tea is also for bob and many others", scope="/a", source="bob", **GIVEN)
    found = memory.recall("tea", depth=depth, source="bob", limit=1)
    assert texts(found) == ["tea is also for bob and many others"]


def test_consolidation_keeps_source_and_private(
    memory: BotWireMemory, model: ScriptedModel
) -> None:
    secret = memory.remember("alice likes tea", scope="/", source="alice", private=True, **GIVEN)
    action = ConsolidationAction(
        action="update", record_id=secret.id, new_content="alice likes green tea", reason="new"
    )
    model.answers["ConsolidationPlan"] = ConsolidationPlan(actions=[action], insert_new=False)
    memory.remember("alice likes tea", scope="/", source="alice", private=True, **GIVEN)
    (found,) = memory.list_records()
    assert found.content == "alice likes green tea"
    assert (found.source, found.private) == ("alice", True)
    assert texts(memory.recall("tea", depth="shallow", source="bob")) == []


def test_somebody_elses_memory_does_not_rewrite_or_delete_private_records(
    memory: BotWireMemory, model: ScriptedModel
) -> None:
    secret = memory.remember("the code is 42", scope="/", source="alice", private=True, **GIVEN)
    action = ConsolidationAction(action="delete", record_id=secret.id, reason="outdated")
    model.answers["ConsolidationPlan"] = ConsolidationPlan(actions=[action], insert_new=True)
    public = memory.remember("the code is 42", scope="/", source="bob", **GIVEN)
    memory.remember("the code is 42", scope="/", source="bob", **GIVEN)
    assert {record.source for record in memory.list_records()} == {"alice", "bob"}
    assert public is not None


# -- failures ------------------------------------------------------------------------------------


def heard(kind: type) -> list[Any]:
    events: list[Any] = []
    crewai_event_bus.on(kind)(lambda source, event: events.append(event))
    return events


@pytest.mark.parametrize("depth", ["shallow", "deep"])
def test_a_memory_that_cannot_be_read_is_no_empty_memory(
    nowhere: str, model: ScriptedModel, depth: Any
) -> None:
    storage = BotWireStorage("crew", url=nowhere, timeout=0.2)
    memory = BotWireMemory(storage=storage, llm=model, embedder=words)
    with crewai_event_bus.scoped_handlers():
        failed = heard(MemoryQueryFailedEvent)
        with pytest.raises(Unreachable):
            memory.recall("anything", depth=depth)
        crewai_event_bus.flush()
    assert len(failed) == 1
    assert isinstance(memory.failure, Unreachable)


@pytest.mark.parametrize("depth", ["shallow", "deep"])
def test_another_embedder_is_an_error_and_not_an_empty_answer(
    memory: BotWireMemory, storage: BotWireStorage, model: ScriptedModel, depth: Any
) -> None:
    memory.remember("a fact", scope="/", **GIVEN)
    wider = BotWireMemory(storage=storage, llm=model, embedder=lambda texts: words(texts, size=128))
    with pytest.raises(EmbeddingDimensionMismatchError):
        wider.recall("a fact", depth=depth)


def test_a_background_save_that_fails_is_heard(
    nowhere: str, model: ScriptedModel, caplog: pytest.LogCaptureFixture
) -> None:
    storage = BotWireStorage("crew", url=nowhere, timeout=0.2)
    memory = BotWireMemory(storage=storage, llm=model, embedder=words)
    with crewai_event_bus.scoped_handlers(), caplog.at_level(logging.ERROR):
        failed = heard(MemorySaveFailedEvent)
        memory.remember_many(["a", "b"], scope="/", **GIVEN)
        memory._save_pool.shutdown(wait=True)  # tells of its failures after drain_writes returns
        crewai_event_bus.flush()
    assert len(failed) == 1
    assert isinstance(memory.failure, Unreachable)
    assert "memory 'crew'" in caplog.text


# -- crews ---------------------------------------------------------------------------------------


def learning() -> ScriptedModel:
    """What a memory is answered when it asks what to keep."""
    model = ScriptedModel(style="native")
    model.answers = {
        "ExtractedMemories": ExtractedMemories(memories=["The capital of Norway is Oslo"]),
        "MemoryAnalysis": MemoryAnalysis(
            suggested_scope="/geo", categories=["city"], importance=0.8
        ),
    }
    return model


def crew_with(memory: Memory, model: ScriptedModel, **more: Any) -> Crew:
    agent = Agent(role="Geo", goal="g", backstory="b", llm=model)
    task = Task(description="What is the capital of Norway?", expected_output="x", agent=agent)
    return Crew(agents=[agent], tasks=[task], memory=memory, tracing=False, **more)


@pytest.mark.parametrize("style", ["text", "native"])
@pytest.mark.parametrize("kind", [Memory, BotWireMemory])
def test_what_one_crew_learns_the_next_one_is_told(
    url: str, style: Any, kind: type[Memory]
) -> None:
    register_botwire(url=url)
    prompts = []
    for answer in ("Oslo", "Oslo again"):
        memory = kind(
            storage="botwire:geo", llm=learning(), embedder=words, root_scope="/crew/demo"
        )
        model = ScriptedModel(style=style, script=[answer])
        assert crew_with(memory, model).kickoff().raw == answer
        prompts.append(json.dumps(model.told[0]))
    assert "The capital of Norway is Oslo" not in prompts[0]
    assert "The capital of Norway is Oslo" in prompts[1]


def test_two_crews_of_one_project_do_not_wipe_each_other(url: str) -> None:
    register_botwire(url=url)
    memories = [
        BotWireMemory(storage="botwire:project", llm=learning(), embedder=words, root_scope=root)
        for root in ("/crew/sales", "/crew/sales-eu")
    ]
    crews = [crew_with(memory, ScriptedModel(script=["Oslo"])) for memory in memories]
    for crew in crews:
        crew.kickoff()
    assert [len(memory.list_records()) for memory in memories] == [1, 1]
    crews[0].reset_memories("memory")
    assert [len(memory.list_records()) for memory in memories] == [0, 1]


def test_a_crew_with_this_memory_writes_checkpoints(url: str) -> None:
    register_botwire(url=url)
    memory = BotWireMemory(storage="botwire:geo", llm=learning())
    memory._embedder_instance = words  # a function cannot stand in a checkpoint; a provider can
    provider = BotWireCheckpointProvider("checkpoints", url=url)
    memory.remember("The capital of Norway is Oslo", scope="/geo", **GIVEN)
    checkpoint = CheckpointConfig(provider=provider, location="geo")
    crew_with(memory, ScriptedModel(script=["Oslo"]), checkpoint=checkpoint).kickoff()
    crewai_event_bus.flush()
    (written,) = provider.list_checkpoints("geo")
    assert '"storage":"botwire:geo"' in provider.from_checkpoint(written)
