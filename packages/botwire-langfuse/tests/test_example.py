"""The example on a live server: what the support agent remembers, and what Langfuse gets of it."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from langfuse_kit import observed
from tracing_endpoint import Endpoint

from botwire.testing import ServerProcess

EXAMPLE = Path(__file__).parents[3] / "examples" / "langfuse_support_agent.py"

Ask = Callable[..., str]


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with Endpoint() as endpoint:
        yield endpoint


@pytest.fixture
def ask(endpoint: Endpoint, botwire_server: ServerProcess) -> Ask:
    """Runs the example as its docstring says, a process for each question."""

    def ask(customer: str, question: str, keys: bool = True) -> str:
        given = {"LANGFUSE_PUBLIC_KEY": "pk", "LANGFUSE_SECRET_KEY": "sk"} if keys else {}
        place = {"LANGFUSE_BASE_URL": endpoint.url, "BOTWIRE_URL": botwire_server.url}
        done = subprocess.run(
            [sys.executable, EXAMPLE, customer, question],
            capture_output=True,
            text=True,
            env={**os.environ, **given, **place},
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return ask


def test_the_agent_knows_its_customer_in_the_next_process(ask: Ask) -> None:
    ask("ada", "Please answer in Italian.")
    again = ask("ada", "Where is my parcel?")
    assert "'language': 'Italian'" in again
    assert "You asked 1 times before." in again
    assert "You asked 0 times before." in ask("bob", "Where is mine?")


def test_a_question_is_one_trace_with_the_run_and_what_it_remembered(
    ask: Ask, endpoint: Endpoint
) -> None:
    ask("ada", "Please answer in Italian.")
    spans = endpoint.spans()
    assert len({span.trace_id for span in spans}) == 1
    shape = [(span.parent, span.name, observed(span).get("type")) for span in spans]
    assert shape == [
        (None, "support question", "span"),
        ("support question", "botwire.increment", "tool"),
        ("support question", "botwire.set", "tool"),
        ("support question", "answer", "chain"),
        ("answer", "recall", "chain"),
        ("recall", "botwire.get", "retriever"),
        ("recall", "botwire.get", "retriever"),
        ("answer", "OfflineModel", "generation"),
        ("answer", "remember", "chain"),
        ("remember", "botwire.increment", "tool"),
        ("support question", "botwire.append", "tool"),
    ]
    assert observed(endpoint.span("OfflineModel"))["model.name"] == "offline"
    for span in spans:
        assert span.attributes["user.id"] == "ada"
        assert span.attributes["session.id"].startswith("ada 20")


def test_observations_of_memory_hold_no_values_of_it(ask: Ask, endpoint: Endpoint) -> None:
    ask("ada", "Please answer in Italian.")
    (preferences,) = [span for span in endpoint.spans() if span.name == "botwire.set"]
    assert observed(preferences)["input"] == {
        "key": "preferences",
        "ttl": 90 * 86400,
        "sliding": True,
    }
    memory = [span for span in endpoint.spans() if span.name.startswith("botwire.")]
    assert "Italian" not in str([span.attributes for span in memory])


def test_the_context_the_counter_and_the_preferences_are_bounded(
    ask: Ask, botwire_server: ServerProcess
) -> None:
    ask("ada", "Please answer in Italian.")
    with botwire_server.memory("support:ada") as memory:
        (counter,) = memory.list_keys("questions:")
        assert memory.get(counter) == 1
        assert memory.head(counter).ttl == 86400  # type: ignore[union-attr]
        preferences = memory.head("preferences")
        assert preferences is not None
        assert (preferences.ttl, preferences.sliding) == (90 * 86400, True)
        memory.set(counter, 20)
        chats = memory.namespaced("support chats")
        old: list[Any] = [{"type": "human", "data": {"content": f"{n}"}} for n in range(30)]
        chats.append("ada", *old)
        assert "Please come back later" in ask("ada", "And now?")
        memory.set(counter, 0)
        ask("ada", "And now?")
        assert len(chats.get("ada")) == 12


def test_without_keys_it_answers_all_the_same(ask: Ask, endpoint: Endpoint) -> None:
    answer = ask("ada", "Hello?", keys=False)
    assert "You asked 0 times before." in answer
    assert not endpoint.requests
