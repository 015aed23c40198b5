"""Crews and flows that are restored from checkpoints in BotWire."""

import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from crewai import Agent, Crew, Task
from crewai.events import crewai_event_bus
from crewai.events.base_events import BaseEvent
from crewai.events.types.flow_events import MethodExecutionStartedEvent
from crewai.events.types.task_events import TaskCompletedEvent
from crewai.flow.flow import Flow, listen, start
from crewai.state import CheckpointConfig
from flow_help import Count
from scripted_model import ScriptedModel, use
from storage_help import eventually

from botwire import Memory
from botwire.errors import NotFound, Unreachable
from botwire_crewai import BotWireCheckpointProvider, memory_tools
from botwire_crewai.plain import without_secrets

KEY = "sk-test-4f8a1c2e9d"
TAKE_CHECKPOINTS = (TaskCompletedEvent, MethodExecutionStartedEvent)


@pytest.fixture
def provider(url: str) -> BotWireCheckpointProvider:
    return BotWireCheckpointProvider("checkpoints", url=url)


@pytest.fixture(autouse=True)
def _no_state_stays() -> Any:
    yield
    crewai_event_bus.reset_runtime_state()


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Crews and flows wait for a checkpoint before they go on.

    crewai writes it beside them; a scripted model is so fast that the next task may be done by
    then, and its checkpoint the first to be written.
    """
    emit = crewai_event_bus.emit

    def waiting(source: Any, event: Any) -> Any:
        done = emit(source, event)
        if done is not None and isinstance(event, TAKE_CHECKPOINTS):
            done.result(30)
        return done

    monkeypatch.setattr(crewai_event_bus, "emit", waiting)


def save(provider: BotWireCheckpointProvider, data: Any = None, **where: Any) -> str:
    return provider.checkpoint(json.dumps(data or {}), where.pop("location", "place"), **where)


# -- keeping ---------------------------------------------------------------------------------------


def test_crewai_takes_it_for_a_provider_of_its_own(provider: BotWireCheckpointProvider) -> None:
    assert CheckpointConfig(provider=provider).provider is provider


def test_a_checkpoint_comes_back_equal(provider: BotWireCheckpointProvider, url: str) -> None:
    data = {"entities": [{"n": 1.5, "text": "æ\ud800"}], "big": 10**40, "parent_id": None}
    where = save(provider, data)
    other = BotWireCheckpointProvider("checkpoints", url=url)
    assert json.loads(other.from_checkpoint(where)) == data
    assert where.endswith(provider.extract_id(where))


async def test_asynchronous_code_gets_the_same(provider: BotWireCheckpointProvider) -> None:
    where = await provider.acheckpoint('{"a": 1}', "place", branch="b")
    assert await provider.afrom_checkpoint(where) == '{"a":1}'
    assert provider.list_checkpoints("place", branch="b") == [where]


def test_checkpoints_are_listed_newest_first(provider: BotWireCheckpointProvider) -> None:
    written = [save(provider) for _ in range(5)]
    assert provider.list_checkpoints("place") == written[::-1]


def test_pruning_keeps_the_newest_of_a_branch(provider: BotWireCheckpointProvider) -> None:
    written = [save(provider) for _ in range(5)]
    others = [
        save(provider, branch="fork/1"),
        save(provider, branch="main2"),
        save(provider, location="place2"),
        save(provider, location="place/main"),
    ]
    assert provider.prune("place", 2) == 3
    assert provider.list_checkpoints("place") == [written[4], written[3]]
    assert provider.prune("place", 0) == 2
    assert provider.list_checkpoints("place") == []
    for where in others:
        assert provider.from_checkpoint(where) == "{}"


def test_branches_are_told_apart(provider: BotWireCheckpointProvider) -> None:
    for branch in ("main", "fork/20260101_ab", "a%2Fb", "../up"):
        save(provider, branch=branch)
    assert provider.branches("place") == ["../up", "a%2Fb", "fork/20260101_ab", "main"]
    assert len(provider.list_checkpoints("place", branch="fork/20260101_ab")) == 1


def test_a_missing_checkpoint_says_what_there_is(provider: BotWireCheckpointProvider) -> None:
    save(provider, branch="fork/1")
    with pytest.raises(NotFound, match="no checkpoint at 'place'") as missing:
        provider.restore_crew("place")
    assert "fork/1" in missing.value.hint
    with pytest.raises(NotFound, match="no checkpoint in 'checkpoints'"):
        provider.restore_crew("botwire://elsewhere/place/main/x")


def test_checkpoints_expire(url: str) -> None:
    provider = BotWireCheckpointProvider("checkpoints", url=url, ttl=0.2)
    save(provider)
    eventually(lambda: provider.list_checkpoints("place") == [])


def test_a_memory_that_cannot_be_reached_is_an_error(nowhere: str) -> None:
    with pytest.raises(Unreachable):
        save(BotWireCheckpointProvider("checkpoints", url=nowhere, timeout=0.2))


# -- secrets ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["api_key", "OPENAI_API_KEY", "apiKey", "access_token", "aws_secret_access_key"]
)
def test_members_that_hold_a_key_become_null(name: str) -> None:
    assert without_secrets({"llm": [{name: KEY}]}) == {"llm": [{name: None}]}


def test_a_key_is_found_wherever_else_it_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_VENDOR_API_KEY", "env-key-123456")
    data = {
        "api_key": KEY,
        "headers": {"Authorization": f"Bearer {KEY}"},
        "event": "called with env-key-123456",
        "max_tokens": 5,
        "tokens": "secret garden",
        "password": "",
    }
    cleaned = json.dumps(without_secrets(data))
    assert KEY not in cleaned
    assert "env-key-123456" not in cleaned
    assert "secret garden" in cleaned
    assert '"max_tokens": 5' in cleaned


# -- crews ----------------------------------------------------------------------------------------


def crew_of(provider: BotWireCheckpointProvider, second: Any, url: str, **config: Any) -> Crew:
    """Two tasks; the first remembers something, the second does what its script says."""
    tools = memory_tools("team", url=url, api_key="bw-very-secret")
    scripts: Any = [[use("remember", key="city", value="Oslo"), "Oslo"], second]
    agents = [
        Agent(
            role=f"agent {n}",
            goal="g",
            backstory="b",
            llm=ScriptedModel(script=script, api_key=KEY),
            tools=tools,
            max_retry_limit=0,
        )
        for n, script in enumerate(scripts, 1)
    ]
    tasks = [
        Task(description=f"task {n}", expected_output="x", agent=agent)
        for n, agent in enumerate(agents, 1)
    ]
    checkpoint = CheckpointConfig(provider=provider, location="team", **config)
    return Crew(agents=agents, tasks=tasks, checkpoint=checkpoint, tracing=False)


@pytest.mark.usefixtures("patient")
def test_a_restored_crew_goes_on_at_its_second_task(
    provider: BotWireCheckpointProvider, url: str
) -> None:
    crew = crew_of(provider, [{"fails": True}], url)
    with pytest.raises(KeyError):  # the second agent's model breaks down
        crew.kickoff()
    crewai_event_bus.flush()
    (written,) = provider.list_checkpoints("team")
    memory = Memory("team", url=url)
    memory.set("city", "Bergen")

    restored = BotWireCheckpointProvider("checkpoints", url=url).restore_crew("team")
    restored.agents[1].llm.script = [use("recall", key="city"), "Bergen it is"]
    out = restored.kickoff()
    assert out.raw == "Bergen it is"
    assert [task.raw for task in out.tasks_output] == ["Oslo", "Bergen it is"]
    assert memory.get("city") == "Bergen"  # the first task was not done again
    assert '"Bergen"' in restored.agents[1].llm.results()[0]  # and the tools work
    crewai_event_bus.flush()
    after = provider.list_checkpoints("team")
    assert len(after) == 2  # it goes on writing here
    parent = json.loads(provider.from_checkpoint(after[0]))["parent_id"]
    assert parent == provider.extract_id(written)


@pytest.mark.usefixtures("patient")
def test_no_key_material_is_stored(provider: BotWireCheckpointProvider, url: str) -> None:
    crew_of(provider, ["done"], url).kickoff()
    crewai_event_bus.flush()
    stored = "".join(json.dumps(value) for value in Memory("checkpoints", url=url).values())
    assert len(stored) > 10_000
    assert KEY not in stored
    assert "bw-very-secret" not in stored


@pytest.mark.usefixtures("patient")
def test_a_fork_writes_into_a_branch_of_its_own(
    provider: BotWireCheckpointProvider, url: str
) -> None:
    crew_of(provider, ["done"], url).kickoff()
    crewai_event_bus.flush()
    newest, first = provider.list_checkpoints("team")
    fork = provider.restore_crew(first, fork="experiment")
    fork.agents[1].llm.script = ["done otherwise"]
    assert fork.kickoff().raw == "done otherwise"
    crewai_event_bus.flush()
    assert provider.branches("team") == ["experiment", "main"]
    assert provider.list_checkpoints("team") == [newest, first]


@pytest.mark.usefixtures("patient")
def test_only_the_newest_are_kept_when_asked(provider: BotWireCheckpointProvider, url: str) -> None:
    crew_of(provider, ["done"], url, max_checkpoints=1).kickoff()
    crewai_event_bus.flush()
    eventually(lambda: len(provider.list_checkpoints("team")) == 1)


class Steps(Flow[Count]):
    @start()
    def first(self) -> None:
        self.state.steps.append("first")

    @listen(first)
    def second(self) -> None:
        self.state.steps.append("second")


@pytest.mark.usefixtures("patient")
def test_a_restored_flow_goes_on_at_its_second_method(
    provider: BotWireCheckpointProvider,
) -> None:
    config = CheckpointConfig(
        provider=provider, location="steps", on_events=["method_execution_started"]
    )
    Steps(checkpoint=config).kickoff()
    crewai_event_bus.flush()
    before_second, _ = provider.list_checkpoints("steps")
    restored = provider.restore(Steps, before_second)
    restored.kickoff()
    assert restored.state.steps == ["first", "second"]


class Noise(BaseEvent):
    type: str = "noise"


class Busy(Flow[Count]):
    """Many things happen while its checkpoints are written."""

    @start()
    def first(self) -> None:
        for _ in range(1500):
            crewai_event_bus.emit(self, Noise())

    @listen(first)
    def second(self) -> None:
        self.first()


@pytest.fixture
def _threads_take_turns() -> Iterator[None]:
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(usual)


@pytest.mark.usefixtures("_threads_take_turns")
def test_events_that_come_meanwhile_spoil_no_checkpoint(
    provider: BotWireCheckpointProvider,
) -> None:
    config = CheckpointConfig(
        provider=provider, location="busy", on_events=["method_execution_started"]
    )
    Busy(checkpoint=config).kickoff()  # with crewai's own providers, this is where it panics
    crewai_event_bus.flush()
    written = provider.list_checkpoints("busy")
    assert len(written) == 2
    for where in written:
        record = json.loads(provider.from_checkpoint(where))["event_record"]["nodes"]
        known = {*record}
        for node in record.values():  # each is a moment: no event names one that is yet to come
            assert all(known.issuperset(others) for others in node["edges"].values())
