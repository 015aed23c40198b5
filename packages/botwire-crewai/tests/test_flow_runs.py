"""Runs of one flow that get in each other's way, and flows that wait for a human."""

import threading
from typing import Any

import pytest
from crewai.flow.async_feedback import HumanFeedbackPending, PendingFeedbackContext
from crewai.flow.flow import Flow, listen, start
from crewai.flow.human_feedback import human_feedback
from crewai.flow.persistence import persist
from flow_help import Count
from storage_help import newer

from botwire import Conflict
from botwire_crewai import BotWireFlowPersistence


@pytest.fixture
def persistence(url: str) -> BotWireFlowPersistence:
    return BotWireFlowPersistence("flows", url=url)


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
    def take_over(flow: str) -> None:
        other = BotWireFlowPersistence("flows", url=url)
        state = other.load_state(flow) or {}
        other.save_state(flow, "elsewhere", {**state, "steps": ["taken over"]})

    @persist(persistence)
    class TakenOver(Flow[Count]):
        @start()
        def first(self) -> None:
            pass

        @listen(first)
        def second(self) -> None:
            thread = threading.Thread(target=take_over, args=(self.state.id,))  # a run of its own
            thread.start()
            thread.join()

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


def test_persistences_that_come_and_go_are_not_taken_for_one_another(url: str) -> None:
    for n in range(200):
        persistence = BotWireFlowPersistence("flows", url=url, keep=0)
        if n % 3:
            persistence.load_state("f")
        persistence.save_state("f", "m", {"id": "f", "n": n})
        assert persistence.load_state("f") == {"id": "f", "n": n}


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


@newer
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
