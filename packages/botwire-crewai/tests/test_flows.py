"""Real flows that stop, resume and fork, and what is kept of them."""

import json
import uuid
from collections.abc import Iterator
from datetime import date, datetime
from enum import Enum
from typing import Any

import pytest
from crewai.flow.flow import Flow, start
from crewai.flow.persistence import persist
from crewai.flow.persistence.base import _persistence_registry
from crewai.flow.persistence.factory import set_flow_persistence_factory
from flow_help import Count, counting
from hypothesis import given, settings
from hypothesis import strategies as st
from storage_help import eventually, naive, newer

from botwire import Memory
from botwire.errors import Unreachable
from botwire_crewai import BotWireFlowPersistence


@pytest.fixture
def persistence(url: str) -> BotWireFlowPersistence:
    return BotWireFlowPersistence("flows", url=url)


@pytest.fixture(autouse=True)
def _no_factory_stays() -> Iterator[None]:
    yield
    set_flow_persistence_factory(None)


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


@newer
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
