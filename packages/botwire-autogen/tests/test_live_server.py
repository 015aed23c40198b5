"""Over a real server: agents are killed in the middle of a turn, and others go on with it."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from autogen_core.memory import MemoryContent

from botwire.errors import Unauthorized
from botwire.testing import ServerProcess
from botwire_autogen import BotWireMemory

HERE = Path(__file__).parent
BROKE_OFF = "answer: No result: the process ended before this call answered."


def outcomes(framework: str, server: ServerProcess) -> dict[str, dict[str, Any]]:
    """What became of the turn for each point at which its agent was killed."""
    script = [sys.executable, str(HERE / "dying_agents.py"), framework, server.url]
    shown = subprocess.run(script, stdout=subprocess.PIPE, text=True, check=True).stdout
    found = [json.loads(line) for line in shown.splitlines()]
    killed = {outcome["point"]: outcome["killed"] for outcome in found}
    assert killed == {point: 0 if point == "never" else 9 for point in killed}
    assert len(killed) == 5
    return {outcome["point"]: outcome for outcome in found}


def test_an_autogen_agent_killed_anywhere_is_continued_by_another_process(
    botwire_server: ServerProcess,
) -> None:
    found = outcomes("autogen", botwire_server)
    # S: system and memory block, U: question, A: call or answer, F: result
    assert {point: found[point]["stored"] for point in found} == {
        "model:1": "UAFA",
        "before effect": "UAA",  # the missing result is shown, and never stored
        "after effect": "UAA",
        "model:2": "UAFA",
        "never": "UAFA",
    }
    for point, outcome in found.items():
        assert outcome["effects"] == (0 if point == "before effect" else 1)
        if point == "never":
            assert outcome["said"] is None  # there was nothing to go on with
            continue
        assert outcome["seen"] == "SSUAF"
        assert outcome["blocks"] == 1
        expected = BROKE_OFF if "effect" in point else "answer: booked by the window"
        assert outcome["said"].startswith(expected)


def test_an_ag2_agent_killed_anywhere_is_continued_by_another_process(
    botwire_server: ServerProcess,
) -> None:
    found = outcomes("ag2", botwire_server)
    whole = [
        *("ModelRequest", "ModelResponse", "ToolCallsEvent", "ToolCallEvent"),
        *("ToolResultEvent", "ToolResultsEvent", "ModelResponse"),
    ]
    without_result = [name for name in whole if name != "ToolResultEvent"]
    for point, outcome in found.items():
        broke_off = "effect" in point
        assert outcome["stored"] == (without_result if broke_off else whole)
        assert outcome["effects"] == (0 if point == "before effect" else 1)
        if point == "never":
            assert outcome["said"] is None  # there was nothing to finish
            continue
        assert sorted(outcome["seen"]) == sorted(outcome["stored"][:-1])
        expected = BROKE_OFF if broke_off else "answer: booked by the window"
        assert outcome["said"].startswith(expected)


async def remembered(namespace: str, url: str) -> list[Any]:
    memory = BotWireMemory(namespace, url=url)
    found = [kept.content.content for kept in await memory.list()]
    await memory.close()
    return found


def test_two_processes_add_200_memories_each_and_nothing_is_lost(
    botwire_server: ServerProcess,
) -> None:
    script = """
import asyncio, sys
import pytest
from autogen_core.memory import MemoryContent
from botwire_autogen import BotWireMemory

async def main(name, url):
    memory = BotWireMemory("shared", url=url)
    for number in range(200):
        await memory.add(MemoryContent(content=f"{name} {number}", mime_type="text/plain"))

asyncio.run(main(*sys.argv[1:]))
"""
    writers = [
        subprocess.Popen([sys.executable, "-c", script, name, botwire_server.url])
        for name in ("one", "two")
    ]
    assert [writer.wait() for writer in writers] == [0, 0]
    contents = asyncio.run(remembered("shared", botwire_server.url))
    for name in ("one", "two"):
        mine = [content for content in contents if content.startswith(name)]
        assert mine == [f"{name} {number}" for number in range(200)]


def test_a_server_that_was_killed_and_started_again_has_what_was_added(
    botwire_server: ServerProcess,
) -> None:
    content = MemoryContent(content=b"\x00\xff", mime_type="x/y", metadata={"at": (1, 2)})

    async def add() -> None:
        memory = BotWireMemory("ada", url=botwire_server.url)
        await memory.add(content)
        await memory.close()

    asyncio.run(add())
    botwire_server.kill()
    botwire_server.restart()
    assert asyncio.run(remembered("ada", botwire_server.url)) == [content.content]


def test_a_loaded_component_takes_the_key_from_the_variable_its_configuration_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = str(tmp_path / "keys.json")
    creating = [sys.executable, "-m", "botwire.cli", "keys", "create", "--json"]
    created = subprocess.run(
        [*creating, "--api-keys", keys, "--prefix", "ada"], stdout=subprocess.PIPE, check=True
    )
    monkeypatch.setenv("ADAS_KEY", json.loads(created.stdout)["key"])
    monkeypatch.setenv("BOTWIRE_API_KEY", "of somebody else")
    with ServerProcess(f"sqlite:///{tmp_path}/server.db", api_keys=keys) as server:
        dumped = BotWireMemory("ada", api_key_env="ADAS_KEY", url=server.url).dump_component()

        async def use() -> None:
            loaded = BotWireMemory.load_component(json.loads(dumped.model_dump_json()))
            await loaded.add(MemoryContent(content="likes tea", mime_type="text/plain"))
            await loaded.close()
            stranger = BotWireMemory("ada", url=server.url)
            with pytest.raises(Unauthorized):
                await stranger.query("")
            await stranger.close()

        asyncio.run(use())
