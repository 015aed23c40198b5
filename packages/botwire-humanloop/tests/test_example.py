"""The example on a live server: prompts are compared, and the next round knows of this one."""

import os
import subprocess
import sys
from pathlib import Path

from botwire.testing import ServerProcess

EXAMPLE = Path(__file__).parents[3] / "examples" / "humanloop_prompt_iteration.py"


def run(server: ServerProcess) -> str:
    done = subprocess.run(
        [sys.executable, EXAMPLE],
        capture_output=True,
        text=True,
        env={**os.environ, "BOTWIRE_URL": server.url},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_prompts_are_compared_by_what_they_answered_and_remembered(
    botwire_server: ServerProcess,
) -> None:
    told = run(botwire_server)
    lines = [[cell.strip() for cell in line.split("|")] for line in told.splitlines()]
    summary = {line[0]: line[1:7] for line in lines if len(line) == 8}
    assert summary["names"] == ["4", "0", "0.75", "2", "0", "0"]
    assert summary["both"] == ["4", "0", "1.00", "3", "0", "0"]
    remembered = {line[0]: line[1:] for line in lines if len(line) == 4}
    assert remembered["drink"] == ["=", "tea without sugar", "tea without sugar"]
    assert remembered["name"] == ["Ada", "=", "Ada"]
    assert remembered["visits"] == ["4", "4", "4"]
    assert "Best: both (1.00). The first round." in told


def test_the_next_round_starts_from_the_same_memory_and_knows_of_this_one(
    botwire_server: ServerProcess,
) -> None:
    first, second = run(botwire_server), run(botwire_server)
    assert "Best of the round before: 1.00." in second
    assert (
        first.partition("remembered")[2].partition("Best")[0]
        == (second.partition("remembered")[2].partition("Best")[0])
    )
    with botwire_server.memory("waiter") as memory:
        assert dict(memory.items()) == {"house": "Chez BotWire"}
