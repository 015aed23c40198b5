"""Over a real server: what a process that was killed had remembered, this one goes on with."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from crewai.events import crewai_event_bus
from doomed_process import crew_of
from flow_help import counting
from scripted_model import ScriptedModel, use, words
from storage_help import EAST, contents, newer, record, requests_of

from botwire.testing import ServerProcess
from botwire_crewai import (
    BotWireCheckpointProvider,
    BotWireFlowPersistence,
    BotWireMemory,
    BotWireStorage,
    botwire_lock_backend,
)

STYLES = pytest.mark.parametrize("style", ["text", "native"])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    store = tmp_path_factory.mktemp("server") / "server.db"
    with ServerProcess(f"sqlite:///{store}") as server:
        yield server


@pytest.fixture(scope="module")
def after_a_kill(server: ServerProcess) -> ServerProcess:
    """A process has worked with this server and was killed in the second task of a crew."""
    script = Path(__file__).with_name("doomed_process.py")
    command = [sys.executable, str(script), server.url]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if "killed here, please" in line:
            break
    process.kill()
    _, errors = process.communicate()
    assert "killed here, please" in said, said + errors
    return server


@STYLES
def test_a_second_process_recalls_what_a_crew_remembered(
    after_a_kill: ServerProcess, style: Any
) -> None:
    script = [
        use("recall", key="text:city"),
        use("recall", key="native:city"),
        use("recall", key="styles"),
        use("recall", key="nothing"),
        "done",
    ]
    model = ScriptedModel(style=style, script=script)
    crew_of([model], after_a_kill.url).kickoff()
    found = [result.partition("\n")[0] for result in model.results()]
    assert found[:3] == ['"Oslo"', '"Oslo"', '["text","native"]']
    assert found[3] == "Nothing is remembered under 'nothing' in memory 'team'."


def test_the_crew_is_restored_and_goes_on_at_its_second_task(after_a_kill: ServerProcess) -> None:
    provider = BotWireCheckpointProvider("checkpoints", url=after_a_kill.url)
    crew = provider.restore_crew("doomed")
    second = crew.agents[1].llm
    second.script = [use("recall", key="step"), "second done"]
    out = crew.kickoff()
    crewai_event_bus.flush()
    crewai_event_bus.reset_runtime_state()
    assert [task.raw for task in out.tasks_output] == ["first done", "second done"]
    assert second.results()[0].startswith('"one"')


def test_the_crews_memory_is_recalled(after_a_kill: ServerProcess) -> None:
    memory = BotWireMemory(
        storage=BotWireStorage("crew", url=after_a_kill.url),
        llm=ScriptedModel(style="native"),
        embedder=words,
    )
    (match,) = memory.recall("What is the capital of Norway?")
    assert match.record.content == "The capital of Norway is Oslo"


def test_the_flow_is_resumed(after_a_kill: ServerProcess) -> None:
    flow = counting(BotWireFlowPersistence("flows", url=after_a_kill.url))()
    flow.kickoff(inputs={"id": "flow-1"})
    assert flow.state.steps == ["first", "second"] * 2


def test_the_lock_of_the_killed_process_ends(after_a_kill: ServerProcess) -> None:
    with botwire_lock_backend(url=after_a_kill.url)("shared", timeout=30):
        pass


def test_a_search_takes_one_request_and_at_most_two(server: ServerProcess) -> None:
    ours, theirs = (BotWireStorage("searched", url=server.url) for _ in range(2))
    ours.save([record(str(n)) for n in range(40)])
    ours.search(EAST)
    for storage in (theirs, ours):
        storage.search(EAST)
        asked = requests_of(storage)
        for _ in range(5):
            storage.search(EAST)
        assert len(asked) == 5
    theirs.save([record("new")])
    theirs.delete(record_ids=[ours.list_records()[-1].id])
    asked = requests_of(ours)
    assert len(contents(ours.search(EAST, limit=100))) == 40
    assert len(asked) <= 2


@newer
@STYLES
def test_a_server_that_fails_is_a_failure_each_tool_reports_once(
    tmp_path: Path, style: Any
) -> None:
    script = [
        use("remember", key="a", value="x"),
        use("recall", key="a"),
        use("list_memory"),
        "went on",
    ]
    with ServerProcess(f"sqlite:///{tmp_path}/server.db") as server:
        crew = crew_of([ScriptedModel(style=style, script=script)], server.url)
        for tool in crew.agents[0].tools:
            tool._memory = server.memory("team", timeout=0.3)
        server.kill()
        out = crew.kickoff()
        assert out.raw == "went on"
        failures = out.tasks_output[0].tool_failures
        assert [failure.tool_name for failure in failures] == ["remember", "recall", "list_memory"]
        assert {failure.failure.code for failure in failures} <= {
            "BW-503-unreachable",
            "BW-504-timeout",
        }
        server.restart()
        assert server.memory("team").list_keys() == []
