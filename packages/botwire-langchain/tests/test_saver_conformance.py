"""LangGraph's public conformance suite, with every capability it knows, through both faces."""

import asyncio
import functools
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.conformance import checkpointer_test, validate
from langgraph.checkpoint.conformance.capabilities import Capability

from botwire.testing import ServerProcess
from botwire_langchain import BotWireSaver


class SyncSaver(BaseCheckpointSaver[str]):
    """Runs the blocking methods wherever the suite awaits one."""

    def __init__(self, saver: BotWireSaver) -> None:
        super().__init__(serde=saver.serde)
        self.saver = saver

    async def alist(self, *args: Any, **options: Any) -> AsyncIterator[Any]:
        for found in await asyncio.to_thread(lambda: list(self.saver.list(*args, **options))):
            yield found


def _awaitable(name: str) -> Any:
    async def method(self: SyncSaver, *args: Any, **options: Any) -> Any:
        blocking = functools.partial(getattr(self.saver, name), *args, **options)
        return await asyncio.to_thread(blocking)

    return method


for _name in ("get_tuple", "put", "put_writes", "delete_thread", "delete_for_runs", "copy_thread"):
    setattr(SyncSaver, f"a{_name}", _awaitable(_name))
SyncSaver.aprune = _awaitable("prune")
SyncSaver.aget_delta_channel_history = _awaitable("get_delta_channel_history")

FACES = {"sync": SyncSaver, "async": lambda saver: saver}
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "ttl": {"ttl": 60.0, "refresh_on_read": True},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
@pytest.mark.parametrize("face", FACES.values(), ids=FACES.keys())
async def test_every_capability_is_there_and_conforms(
    face: Any, options: dict[str, Any], url: str
) -> None:
    await conforms(face, options, url)


@pytest.mark.parametrize("face", FACES.values(), ids=FACES.keys())
async def test_it_conforms_on_a_server_too(face: Any, botwire_server: ServerProcess) -> None:
    await conforms(face, {}, botwire_server.url)


async def conforms(face: Any, options: dict[str, Any], url: str) -> None:
    @checkpointer_test(name="BotWireSaver")
    async def saver() -> AsyncGenerator[BaseCheckpointSaver[Any]]:
        one = BotWireSaver(namespace=str(uuid4()), url=url, **options)
        yield face(one)
        await one.aclose()

    report = await validate(saver)
    results = report.to_dict()["results"]
    assert {name: result.get("failures") for name, result in results.items()} == {
        capability.value: [] for capability in Capability
    }
    assert all(result["detected"] and result["passed"] for result in results.values())
    assert sum(result["tests_passed"] for result in results.values()) == 81
