"""Real flows that stop, resume, fork, wait for a human and get in each other's way."""

import json
import threading
import uuid
from collections.abc import Iterator
from datetime import date, datetime
from enum import Enum
from typing import Any

import pytest
from crewai.flow.async_feedback import HumanFeedbackPending, PendingFeedbackContext
from crewai.flow.flow import Flow, listen, start
from crewai.flow.human_feedback import human_feedback
from crewai.flow.persistence import persist
from crewai.flow.persistence.base import _persistence_registry
from crewai.flow.persistence.factory import set_flow_persistence_factory
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field
from storage_help import eventually, naive

from botwire import Conflict, Memory
from botwire.errors import Unreachable
from botwire_crewai import BotWireFlowPersistence


class Count(BaseModel):
    id: str = Field(default_factory=lambda: str(uuid.uuid4()))
    steps: list[str] = []
    tags: set[str] = set()
    day: date | None = None
    best: float = 0.0


@pytest.fixture
def persistence(url: str) -> BotWireFlowPersistence:
    return BotWireFlowPersistence("flows", url=url)


@pytest.fixture(autouse=True)
def _no_factory_stays() -> Iterator[None]:
    yield
    set_flow_persistence_factory(None)


def counting(backend: BotWireFlowPersistence | None = None) -> Any:
    """A flow class of its own, that saves after each method."""

    @persist(backend)
    class Counting(Flow[Count]):
        @start()
        def first(self) -> None:
            self.state.steps.append("first")
            self.state.tags.add("x")
            self.state.day = date(2026, 1, 2)

        @listen(first)
        def second(self) -> None:
            self.state.steps.append("second")

    return Counting


# -- saving and loading ----------------------------------------------------------------------------


def test_a_flow_resumes_where_another_process_left_it(
    persistence: BotWireFlowPersistence, url: str
) -> None:
    flow = counting(persistence)()
    flow.kickoff()
    elsewhere = counting(BotWireFlowPersistence("flows", url=url))()
    elsewhere.kickoff(inputs={"id": flow.state.id})
    assert elsewhere.state.steps == ["first", "second"] * 2
    assert elsewhere.state.tags == {"x"}
    assert elsewhere.state.day == date(2026, 1, 2)
    assert (persistence.load_state(flow.state.id) or {})["steps"] == ["first", "second"] * 2


def test_a_fork_goes_on_under_an_id_of_its_own(persistence: BotWireFlowPersistence) -> None:
    flow = counting(persistence)()
    flow.kickoff()
    fork = counting(persistence)()
    fork.kickoff(restore_from_state_id=flow.state.id)
    assert fork.state.id != flow.state.id
    assert len(fork.state.steps) == 4
    assert len((persistence.load_state(flow.state.id) or {})["steps"]) == 2


def test_a_flow_without_a_model_keeps_its_dict(persistence: BotWireFlowPersistence) -> None:
    @persist(persistence)
    class Loose(Flow[dict]):
        @start()
        def first(self) -> None:
            self.state.update(tags={"x"}, at=naive(2026, 1, 2), n=self.state.get("n", 0) + 1)

    flow = Loose()
    flow.kickoff()
    again = Loose()
    again.kickoff(inputs={"id": flow.state["id"]})
    loaded = persistence.load_state(flow.state["id"])
    assert loaded is not None
    assert (loaded["n"], loaded["tags"]) == (2, ["x"])
    assert loaded["at"] == "2026-01-02T00:00:00"


def test_a_missing_flow_is_none_and_starts_anew(persistence: BotWireFlowPersistence) -> None:
    assert persistence.load_state("nobody") is None
    flow = counting(persistence)()
    flow.kickoff(inputs={"id": "mine"})
    assert (persistence.load_state("mine") or {})["steps"] == ["first", "second"]


def test_a_persistence_can_be_given_to_the_instance(
    persistence: BotWireFlowPersistence, url: str
) -> None:
    other = BotWireFlowPersistence("other", url=url)
    flow = counting(other)(persistence=persistence)
    flow.kickoff()
    assert persistence.load_state(flow.state.id) is not None
    assert other.load_state(flow.state.id) is None


def test_the_default_persistence_can_be_ours_though_it_is_made_anew_each_time(url: str) -> None:
    set_flow_persistence_factory(lambda: BotWireFlowPersistence("flows", url=url))
    kind = counting()
    flow = kind()
    flow.kickoff()
    for rounds in (2, 3):
        again = kind()
        again.kickoff(inputs={"id": flow.state.id})
        assert again.state.steps == ["first", "second"] * rounds


def test_any_state_can_be_kept(persistence: BotWireFlowPersistence) -> None:
    class Color(Enum):
        RED = "red"

    state = {
        "id": "f",
        "model": Count(id="inner", tags={"x"}, best=float("inf")),
        "nested": [(1, 2), {"a": {3}}],
        "when": [naive(2026, 1, 1), date(2026, 1, 1), uuid.UUID(int=1)],
        "enum": Color.RED,
        "bytes": [b"text", b"\xff\xfe"],
        "nan": float("nan"),
        "object": ValueError("odd"),
        "keys": {1: "one", None: "none"},
        "text": "\ud800 ☃ \0",
    }
    persistence.save_state("f", "m", state)
    loaded = persistence.load_state("f")
    assert loaded is not None
    assert loaded["model"]["tags"] == ["x"]
    assert loaded["nested"] == [[1, 2], {"a": [3]}]
    assert (loaded["enum"], loaded["nan"], loaded["object"]) == ("red", "nan", "odd")
    assert (loaded["text"], loaded["keys"]) == ("\ud800 ☃ \0", {"1": "one", "None": "none"})
    assert Count.model_validate(loaded["model"]).best == float("inf")


@settings(max_examples=50, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_json_comes_back_equal(value: Any) -> None:
    persistence = BotWireFlowPersistence("property", url="memory://", keep=0)
    persistence.save_state("flow", "m", {"id": "flow", "value": value})
    loaded = persistence.load_state("flow")
    assert loaded is not None
    assert json.dumps(loaded["value"]) == json.dumps(_text_for_infinities(value))


def _text_for_infinities(value: Any) -> Any:
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        return str(value)
    if isinstance(value, list):
        return [_text_for_infinities(part) for part in value]
    if isinstance(value, dict):
        return {name: _text_for_infinities(part) for name, part in value.items()}
    return value


# -- what is kept ----------------------------------------------------------------------------------


def test_the_history_is_bounded_and_tells_what_happened(url: str) -> None:
    persistence = BotWireFlowPersistence("flows", url=url, keep=3)
    flow = counting(persistence)()
    flow.kickoff()
    for _ in range(3):
        counting(persistence)().kickoff(inputs={"id": flow.state.id})
    history = persistence.history(flow.state.id)
    assert [step["method"] for step in history] == ["second", "first", "second"]
    assert [len(step["state"]["steps"]) for step in history] == [6, 7, 8]
    assert datetime.fromisoformat(history[0]["saved_at"]).tzinfo is not None
    assert len(Memory("flows", url=url).list_keys()) == 2


def test_without_history_only_the_current_state_is_kept(url: str) -> None:
    persistence = BotWireFlowPersistence("flows", url=url, keep=0)
    counting(persistence)().kickoff()
    assert [key.partition("/")[0] for key in Memory("flows", url=url).list_keys()] == ["state"]


def test_a_flow_is_forgotten_after_its_ttl(url: str) -> None:
    persistence = BotWireFlowPersistence("flows", url=url, ttl=0.3)
    persistence.save_state("f", "m", {"id": "f"})
    assert persistence.load_state("f") is not None
    eventually(lambda: persistence.load_state("f") is None)
    assert persistence.history("f") == []


# -- two at once -----------------------------------------------------------------------------------


def test_the_second_of_two_writers_gets_a_conflict(
    persistence: BotWireFlowPersistence, url: str
) -> None:
    other = BotWireFlowPersistence("flows", url=url)
    persistence.save_state("f", "m", {"id": "f", "n": 0})
    persistence.load_state("f")
    other.load_state("f")
    other.save_state("f", "m", {"id": "f", "n": 1})
    other.save_state("f", "m", {"id": "f", "n": 2})
    with pytest.raises(Conflict):
        persistence.save_state("f", "m", {"id": "f", "n": -1})
    assert persistence.load_state("f") == {"id": "f", "n": 2}
    persistence.save_state("f", "m", {"id": "f", "n": 3})  # it has read it again
    assert [step["state"]["n"] for step in persistence.history("f")] == [0, 1, 2, 3]


def test_two_runs_of_one_flow_do_not_lose_an_update(persistence: BotWireFlowPersistence) -> None:
    """Both share the persistence of their class, in one process."""
    both_loaded = threading.Barrier(2)

    @persist(persistence)
    class Racing(Flow[Count]):
        @start()
        def first(self) -> None:
            both_loaded.wait(20)
            self.state.steps.append("first")

        @listen(first)
        def second(self) -> None:
            self.state.steps.append("second")

    persistence.save_state("f", "m", {"id": "f", "steps": []})
    outcomes: list[Any] = []

    def run() -> None:
        try:
            Racing().kickoff(inputs={"id": "f"})
            outcomes.append("saved")
        except RuntimeError as error:
            outcomes.append(error.__cause__)

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Conflict", "str"]
    loaded = persistence.load_state("f")
    assert loaded is not None
    assert len(loaded["steps"]) == 2  # one run, both methods


def test_a_new_flow_notices_that_somebody_took_it_over(
    persistence: BotWireFlowPersistence, url: str
) -> None:
    @persist(persistence)
    class TakenOver(Flow[Count]):
        @start()
        def first(self) -> None:
            pass

        @listen(first)
        def second(self) -> None:
            other = BotWireFlowPersistence("flows", url=url)
            state = other.load_state(self.state.id) or {}
            other.save_state(self.state.id, "elsewhere", {**state, "steps": ["taken over"]})

    with pytest.raises(RuntimeError, match="State persistence failed") as failed:
        TakenOver().kickoff()
    assert isinstance(failed.value.__cause__, Conflict)


def test_parallel_methods_of_one_run_do_not_get_in_each_others_way(
    persistence: BotWireFlowPersistence,
) -> None:
    @persist(persistence)
    class Wide(Flow[Count]):
        @start()
        def begin(self) -> None:
            pass

        @listen(begin)
        def one(self) -> None:
            self.state.steps.append("one")

        @listen(begin)
        def two(self) -> None:
            self.state.steps.append("two")

        @listen(begin)
        def three(self) -> None:
            self.state.steps.append("three")

    flow = Wide()
    flow.kickoff()
    Wide().kickoff(inputs={"id": flow.state.id})
    loaded = persistence.load_state(flow.state.id)
    assert loaded is not None
    assert sorted(loaded["steps"]) == ["one", "one", "three", "three", "two", "two"]


def test_the_last_writer_may_win_by_option(url: str) -> None:
    first, second = (
        BotWireFlowPersistence("flows", url=url, on_conflict="overwrite") for _ in range(2)
    )
    for persistence in (first, second):
        persistence.load_state("f")
    first.save_state("f", "m", {"id": "f", "n": 1})
    second.save_state("f", "m", {"id": "f", "n": 2})
    assert first.load_state("f") == {"id": "f", "n": 2}


# -- waiting for a human ---------------------------------------------------------------------------


class Ask:
    """Asks somebody who answers later."""

    def request_feedback(self, context: PendingFeedbackContext, flow: Any) -> str:
        raise HumanFeedbackPending(context=context)


class Review(Flow[Count]):
    @start()
    @human_feedback(message="Is it good?", provider=Ask())
    def draft(self) -> str:
        self.state.steps.append("draft")
        return "a draft"

    @listen(draft)
    def publish(self, result: Any) -> str:
        self.state.steps.append(f"heard: {result.feedback}")
        return "published"


def test_a_flow_waits_for_a_human_and_goes_on_in_another_process(
    persistence: BotWireFlowPersistence, url: str
) -> None:
    flow = Review(persistence=persistence)
    waiting = flow.kickoff()
    assert isinstance(waiting, HumanFeedbackPending)
    elsewhere = BotWireFlowPersistence("flows", url=url)
    resumed = Review.from_pending(flow.state.id, elsewhere)
    assert resumed.resume("very good") == "published"
    assert resumed.state.steps == ["draft", "heard: very good"]
    assert elsewhere.load_pending_feedback(flow.state.id) is None


def test_a_state_and_what_it_waits_for_are_written_together(
    persistence: BotWireFlowPersistence,
) -> None:
    context = PendingFeedbackContext(
        flow_id="f",
        flow_class="Review",
        method_name="draft",
        method_output={"title": "x"},
        message="?",
        llm={"model": "gpt", "api_key": "sk-secret"},
        trace_context=(2**127, 2**63),
    )
    persistence.save_state("f", "begin", {"id": "f"})
    BotWireFlowPersistence("flows", url=persistence.url).save_state("f", "m", {"id": "f", "n": 1})
    with pytest.raises(Conflict):
        persistence.save_pending_feedback("f", context, {"id": "f"})
    assert persistence.load_pending_feedback("f") is None
    persistence.load_state("f")
    persistence.save_pending_feedback("f", context, {"id": "f", "n": 2})
    found = persistence.load_pending_feedback("f")
    assert found is not None
    state, waits = found
    assert state == {"id": "f", "n": 2}
    assert waits.llm == {"model": "gpt", "api_key": None}
    assert (waits.trace_context, waits.requested_at) == (
        context.trace_context,
        context.requested_at,
    )
    assert (waits.method_output, waits.message) == ({"title": "x"}, "?")


# -- around it -------------------------------------------------------------------------------------


def test_it_comes_back_from_a_checkpoint_without_its_key(url: str) -> None:
    made = BotWireFlowPersistence("flows", url=url, api_key="sk-very-secret", ttl=60, keep=2)
    dump = made.model_dump(mode="json")
    assert "sk-very-secret" not in json.dumps(dump)
    assert "sk-very-secret" not in repr(made)
    back = _persistence_registry[dump["persistence_type"]].model_validate(dump)
    assert isinstance(back, BotWireFlowPersistence)
    assert (back.namespace, back.url, back.ttl, back.keep) == ("flows", url, 60, 2)


def test_a_save_that_fails_fails_the_flow(nowhere: str) -> None:
    persistence = BotWireFlowPersistence("flows", url=nowhere, timeout=0.2)
    with pytest.raises(RuntimeError, match="did not answer"):
        counting(persistence)().kickoff()
    with pytest.raises(Unreachable):
        persistence.load_state("f")


def test_a_save_is_one_request(persistence: BotWireFlowPersistence) -> None:
    asked: list[Any] = []
    run = persistence._memory._run
    persistence._memory._run = lambda op: (asked.append(op), run(op))[1]  # type: ignore[method-assign]
    counting(persistence)().kickoff()
    assert len(asked) == 2
