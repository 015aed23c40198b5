"""The example on a live server: sessions that go on, and what AgentOps gets of them."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from agentops_kit import card, endpoint
from tracing_endpoint import Endpoint

from botwire.testing import ServerProcess

EXAMPLE = Path(__file__).parents[3] / "examples" / "agentops_preferences.py"

# It ends at once: at a regular end AgentOps would try to reach its own service for metrics.
RUN = f"""
import os, runpy, sys
try:
    runpy.run_path({str(EXAMPLE)!r}, run_name="__main__")
    from opentelemetry import trace
    if os.environ.get("AGENTOPS_API_KEY"):
        trace.get_tracer_provider().force_flush()
    sys.stdout.flush()
except BaseException:
    import traceback
    traceback.print_exc()
    os._exit(1)
os._exit(0)
"""

Say = Callable[..., str]


@pytest.fixture
def service() -> Iterator[Endpoint]:
    with endpoint() as service:
        yield service


@pytest.fixture
def say(service: Endpoint, botwire_server: ServerProcess) -> Say:
    """Runs the example, a process for each session."""

    def say(user: str, text: str, key: str = "") -> str:
        done = subprocess.run(
            [sys.executable, "-c", RUN, user, text],
            capture_output=True,
            text=True,
            env={
                **os.environ,
                "BOTWIRE_URL": botwire_server.url,
                "AGENTOPS_API_KEY": key,
                "AGENTOPS_API_ENDPOINT": service.url,
                "AGENTOPS_EXPORTER_ENDPOINT": f"{service.url}/v1/traces",
                "AGENTOPS_LOG_LEVEL": "CRITICAL",
            },
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return say


def test_sessions_go_on_where_the_one_before_stopped(say: Say, service: Endpoint) -> None:
    assert say("ada", "I prefer window seats.") == "I will remember that."
    assert say("ada", "Book me a train to Turin.") == "To Turin. When?"
    assert say("bob", "Tomorrow at nine.") == "Where do you want to go?"
    assert say("ada", "Tomorrow at nine.") == "Booking 1: to Turin, tomorrow at nine, window seats."
    assert say("ada", "Thanks.") == "Where do you want to go?"
    assert not service.requests  # no key, nothing is sent


def test_a_session_shows_with_its_tasks_and_what_they_remembered(
    say: Say, service: Endpoint
) -> None:
    say("ada", "Book me a train to Turin.", key="00000000-0000-4000-8000-000000000000")
    shape = [(span.parent, span.name) for span in service.spans()]
    assert shape == [
        (None, "assistant of ada.session"),
        ("assistant of ada.session", "recall state.task"),
        ("recall state.task", "botwire.get.tool"),
        ("assistant of ada.session", "book a train.tool"),
        ("book a train.tool", "botwire.set.tool"),
    ]
    assert card(service.span("botwire.set.tool")) == {
        "kind": "tool",
        "name": "botwire.set",
        "arguments": {"namespace": "assistant:ada", "key": "state", "ttl": 86400, "sliding": True},
        "result": {"count": 1, "version": 1},
    }
    assert "Turin" not in service.everything()


def test_preferences_last_and_the_state_of_a_conversation_ends(
    say: Say, botwire_server: ServerProcess
) -> None:
    say("ada", "I prefer window seats.")
    say("ada", "I like quiet coaches")
    say("ada", "I prefer window seats.")
    say("ada", "Book me a train to Turin.")
    with botwire_server.memory("assistant:ada") as memory:
        assert memory["preferences"] == ["quiet coaches", "window seats"]
        assert memory.ttl("preferences") == float("inf")
        state = memory.head("state")
        assert state is not None
        assert (state.ttl, state.sliding) == (86400, True)
