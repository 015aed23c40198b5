"""A pipeline that stopped goes on in another process, from a snapshot in memory."""

from collections.abc import Callable
from typing import Any

import pytest
from haystack import Document, Pipeline
from haystack.components.builders import ChatPromptBuilder
from haystack.core.errors import BreakpointException, PipelineRuntimeError
from haystack.dataclasses.breakpoints import Breakpoint
from haystack_scripts import ScriptedChatGenerator, user

from botwire.errors import NotFound
from haystack_integrations.snapshots.botwire import BotWireSnapshotStore


@pytest.fixture
def snapshots(url: str, made: Callable[..., Any]) -> BotWireSnapshotStore:
    return made(BotWireSnapshotStore("test", url=url))


def asking(*script: Any) -> Pipeline:
    pipe = Pipeline()
    template = [user("{{ documents[0].content }}? {{ query }}")]
    pipe.add_component("prompt", ChatPromptBuilder(template=template))
    pipe.add_component("llm", ScriptedChatGenerator(list(script)))
    pipe.connect("prompt.prompt", "llm.messages")
    return pipe


DATA = {"prompt": {"query": "why", "documents": [Document(content="tea", meta={"n": 1})]}}


def test_a_run_goes_on_from_a_breakpoint(
    snapshots: BotWireSnapshotStore, url: str, made: Callable[..., Any]
) -> None:
    with pytest.raises(BreakpointException) as stopped:
        asking("x").run(DATA, break_point=Breakpoint("llm"), snapshot_callback=snapshots)
    snapshot_id = stopped.value.pipeline_snapshot_file_path
    assert snapshots.ids() == [snapshot_id]
    assert str(snapshot_id).startswith("llm-")
    elsewhere = made(BotWireSnapshotStore("test", url=url))
    pipe = asking("because")
    out = pipe.run({}, pipeline_snapshot=elsewhere.load(str(snapshot_id)))
    assert out["llm"]["replies"][0].text == "because"
    assert pipe.get_component("llm").seen[0][0].text == "tea? why"


def test_a_run_goes_on_after_a_component_failed(snapshots: BotWireSnapshotStore) -> None:
    with pytest.raises(PipelineRuntimeError, match="overloaded") as failed:
        asking(OSError("overloaded")).run(DATA, snapshot_callback=snapshots.under("job-7"))
    assert failed.value.pipeline_snapshot_file_path == "job-7"
    out = asking("because").run({}, pipeline_snapshot=snapshots.load("job-7"))
    assert out["llm"]["replies"][0].text == "because"


def test_snapshots_are_listed_newest_first_and_deleted(snapshots: BotWireSnapshotStore) -> None:
    for name in ("b", "a", "b"):
        with pytest.raises(BreakpointException):
            asking("x").run(
                DATA, break_point=Breakpoint("llm"), snapshot_callback=snapshots.under(name)
            )
    assert snapshots.ids() == ["b", "a"]
    assert snapshots.delete("b") is True
    assert snapshots.delete("b") is False
    with pytest.raises(NotFound, match="there is no snapshot 'b'"):
        snapshots.load("b")


def test_snapshots_can_expire(url: str, made: Callable[..., Any]) -> None:
    snapshots = made(BotWireSnapshotStore("test", url=url, ttl=60))
    with pytest.raises(BreakpointException):
        asking("x").run(DATA, break_point=Breakpoint("llm"), snapshot_callback=snapshots.under("a"))
    assert snapshots.memory.head("snapshots/a").ttl == 60
