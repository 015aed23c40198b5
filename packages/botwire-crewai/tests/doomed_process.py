"""A process that works with everything over a server and is killed in the middle of a crew.

Run by test_live.py: `python doomed_process.py URL`; says "killed here, please" and waits.
"""

import sys
import time
from typing import Any

import conftest  # noqa: F401  sets the environment before crewai is imported
from crewai import Agent, Crew, Task
from crewai.events import crewai_event_bus
from crewai.events.types.task_events import TaskCompletedEvent
from crewai.state import CheckpointConfig
from flow_help import counting
from scripted_model import ScriptedModel, use, words

from botwire_crewai import (
    BotWireCheckpointProvider,
    BotWireFlowPersistence,
    BotWireMemory,
    BotWireStorage,
    botwire_lock_backend,
    memory_tools,
)


class Stuck(ScriptedModel):
    """Says that it was asked, and never answers."""

    def call(self, *_: Any, **__: Any) -> Any:
        sys.stdout.write("killed here, please\n")
        sys.stdout.flush()
        time.sleep(600)


def crew_of(models: list[ScriptedModel], url: str, **more: Any) -> Crew:
    tools = memory_tools("team", url=url, more="all")
    agents = [
        Agent(role=f"agent {n}", goal="g", backstory="b", llm=model, tools=tools)
        for n, model in enumerate(models, 1)
    ]
    tasks = [
        Task(description=f"task {n}", expected_output="x", agent=agent)
        for n, agent in enumerate(agents, 1)
    ]
    return Crew(agents=agents, tasks=tasks, tracing=False, **more)


def wait_for_checkpoints() -> None:
    """See `patient` in test_checkpoints.py."""
    emit = crewai_event_bus.emit

    def waiting(source: Any, event: Any) -> Any:
        done = emit(source, event)
        if isinstance(event, TaskCompletedEvent) and done is not None:
            done.result(30)
        return done

    crewai_event_bus.emit = waiting  # type: ignore[method-assign]


def main(url: str) -> None:
    for style in ("text", "native"):
        script = [
            use("remember", key=f"{style}:city", value="Oslo"),
            use("append_memory", key="styles", item=style),
            "done",
        ]
        crew_of([ScriptedModel(style=style, script=script)], url).kickoff()

    memory = BotWireMemory(
        storage=BotWireStorage("crew", url=url), llm=ScriptedModel(), embedder=words
    )
    memory.remember("The capital of Norway is Oslo", scope="/geo", categories=[], importance=0.5)

    counting(BotWireFlowPersistence("flows", url=url))().kickoff(inputs={"id": "flow-1"})

    wait_for_checkpoints()
    provider = BotWireCheckpointProvider("checkpoints", url=url)
    first = ScriptedModel(script=[use("remember", key="step", value="one"), "first done"])
    config = CheckpointConfig(provider=provider, location="doomed")
    with botwire_lock_backend(url=url, lease=1.0)("shared", timeout=5):
        crew_of([first, Stuck()], url, checkpoint=config).kickoff()


if __name__ == "__main__":
    main(sys.argv[1])
