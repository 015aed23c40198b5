"""An agent is killed in the middle of its run; another process finishes it. On a live server."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from botwire.testing import ServerProcess

PROGRAM = Path(__file__).with_name("killed_agent.py")
TOOLS = ["tool search Anaheim", "tool search Oslo", "tool book Anaheim"]
TRANSCRIPT = """\
human: Book me a train to Anaheim.
ai:
tool: Remembered under the key 'trip'.
ai:
tool: a train to Anaheim at 6:30
tool: a train to Oslo at 6:30
ai:
tool: booked Anaheim
ai: Your train is booked."""


def run(
    server: ServerProcess, log: Path, death: str, *options: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(PROGRAM), server.url, str(log), death, *options],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def finished(server: ServerProcess, log: Path) -> list[str]:
    """Let another process finish the run; what was done in all, in order."""
    done = run(server, log, "")
    assert done.returncode == 0, done.stderr
    lines = [line.rstrip() for line in done.stdout.splitlines()]
    assert "\n".join(lines) == TRANSCRIPT
    return log.read_text().splitlines()


def test_every_tool_is_executed_once_though_the_agent_is_killed_between_tools_and_their_answers(
    botwire_server: ServerProcess, tmp_path: Path
) -> None:
    """It dies twice, behind two parallel tools and behind the last one; then the server does."""
    log = tmp_path / "log"
    for death in ("model 2 trip", "model 3 trip"):
        assert run(botwire_server, log, death).returncode == -signal.SIGKILL
        assert log.read_text().splitlines()[-1] == death
    botwire_server.kill()
    botwire_server.start()
    events = finished(botwire_server, log)
    assert sorted(event for event in events if event.startswith("tool")) == sorted(TOOLS)
    # The calls of the model that died are made again, and no others.
    models = [event for event in events if event.startswith("model")]
    again = ["model 2 trip", "model 3 trip"]
    assert models == [
        "model 0 -",
        "model 1 trip",
        *(model for one in again for model in (one, one)),
    ]


@pytest.mark.parametrize("face", ["blocking", "awaited"])
@pytest.mark.parametrize("tool", ["search Oslo", "book Anaheim"])
def test_of_tools_that_run_side_by_side_only_the_one_that_died_runs_again(
    botwire_server: ServerProcess, tmp_path: Path, face: str, tool: str
) -> None:
    """It dies in a tool, beside another one that has ended, or alone."""
    log = tmp_path / "log"
    assert run(botwire_server, log, f"tool {tool}", face).returncode == -signal.SIGKILL
    events = finished(botwire_server, log)
    tools = [event for event in events if event.startswith("tool")]
    # Nothing can know whether a tool that never returned had done its work.
    assert sorted(tools) == sorted([*TOOLS, f"tool {tool}"])
