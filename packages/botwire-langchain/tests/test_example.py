"""The example of an agent that remembers across restarts, run as its first lines say."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from botwire import BotWireChatHistory, Memory
from botwire.testing import ServerProcess

EXAMPLE = Path(__file__).parents[3] / "examples" / "langchain_persistent_agent.py"


def ask(text: str, folder: Path, url: str | None = None) -> str:
    environment = {**os.environ, **({"BOTWIRE_URL": url} if url else {})}
    done = subprocess.run(
        [sys.executable, str(EXAMPLE), text],
        capture_output=True,
        text=True,
        cwd=folder,
        env=environment,
        timeout=60,
        check=True,
    )
    return done.stdout.strip()


@pytest.mark.parametrize("place", ["file", "server"])
def test_the_agent_remembers_what_another_process_was_told(
    place: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    server: ServerProcess | None = None
    if place == "server":
        server = request.getfixturevalue("botwire_server")
    url = server.url if server else None
    assert ask("My name is Ada.", tmp_path, url).startswith("(Facts: name: Ada)")
    assert ask("What is my name?", tmp_path, url) == (
        "(Facts: name: Ada) This is question 2 of our conversation."
    )
    where = url or f"sqlite:///{tmp_path}/memory.db"
    assert Memory("facts:ada", url=where).get("name") == "Ada"
    assert len(BotWireChatHistory("ada", url=where).messages) == 4
