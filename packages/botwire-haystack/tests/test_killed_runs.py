"""Killed at every boundary of every step of a five-tool run, and resumed: each tool ran once."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from haystack_scripts import resumes

from botwire import Memory

SCRIPT = Path(__file__).parent / "killed_runs.py"
STEPS = range(1, 6)  # one tool each; the sixth step is the answer
WITHIN = ("before_llm", "before_tool", "between_after_tool", "after_tool")
POINTS = [
    *("between_before_run:1", "before_run:1"),
    *(f"{point}:{step}" for step in STEPS for point in WITHIN),
    *("before_llm:6", "on_exit:1", "between_after_run:1", "after_run:1"),
]


@resumes
@pytest.mark.timeout(300)
def test_each_tool_runs_exactly_once_wherever_the_process_is_killed(
    url: str, tmp_path: Path
) -> None:
    command = [sys.executable, str(SCRIPT), url, str(tmp_path), *POINTS]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    reports = [json.loads(line) for line in done.stdout.splitlines()]
    assert [report["point"] for report in reports] == POINTS
    for report in reports:
        assert report["statuses"] == [-9, 0], report
        assert report["ran"] == ["0", "1", "2", "3", "4"], report
        assert report["tool_call_counts"] == {"work": 5}, report
        assert (report["step_count"], report["exit_reason"]) == (6, "text"), report
        assert report["said"] == "done"
        assert report["roles"] == ["user", *["assistant", "tool"] * 5, "assistant"], report
    with Memory("killed", url=url) as memory:
        for point in POINTS:
            conversation = memory.get(f"chat/{point}")
            roles = [message["role"] for message in conversation]
            assert roles == ["user", *["assistant", "tool"] * 5, "assistant"], point
