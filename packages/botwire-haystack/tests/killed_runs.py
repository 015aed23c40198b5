"""A process that runs an Agent of five tools and kills itself at one boundary of a step.

    python killed_runs.py URL FOLDER POINT...

For each POINT (`before_llm:2` is the second time that point is reached; `whole` is never killed) it
forks a child that runs until it kills itself with SIGKILL there, and another one that resumes; the
interpreter is started, and Haystack imported, only once. Tools note that they ran in FOLDER/POINT.
It prints one line of JSON for each point.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "False"

from haystack.components.agents import Agent
from haystack.components.agents.state import State
from haystack.components.generators.chat import MockChatGenerator
from haystack.dataclasses import ChatMessage, ToolCall
from haystack.hooks import FunctionHook
from haystack.tools import tool

from haystack_integrations.chat_message_stores.botwire import BotWireChatMessageStore
from haystack_integrations.hooks.botwire import (
    BotWireCheckpointHook,
    BotWireHistoryHook,
    agent_hooks,
)

TOOLS = 5
POINTS = ("before_run", "before_llm", "before_tool", "after_tool", "on_exit", "after_run")


def reply(messages: list[ChatMessage]) -> ChatMessage:
    done = sum(len(message.tool_call_results) for message in messages)
    if done == TOOLS:
        return ChatMessage.from_assistant("done")
    call = ToolCall(tool_name="work", arguments={"step": done}, id=f"call-{done}")
    return ChatMessage.from_assistant(tool_calls=[call])


def deadly(point: str, at: str) -> FunctionHook:
    """A hook that kills the process the n-th time its point is reached."""
    reached = []

    def die(state: State) -> None:
        reached.append(1)
        if at == f"{point}:{len(reached)}":
            os.kill(os.getpid(), signal.SIGKILL)

    return FunctionHook(function=die)


def agent(url: str, notes: Path, at: str) -> Agent:
    @tool
    def work(step: int) -> str:
        """Do one step of the work."""
        with notes.open("a") as file:
            file.write(f"{step}\n")
            os.fsync(file.fileno())
        return f"did {step}"

    store = BotWireChatMessageStore("killed", url=url)
    checkpoint = BotWireCheckpointHook("killed", url=url)
    hooks: Any = agent_hooks(history=BotWireHistoryHook(store), checkpoint=checkpoint)
    for point in POINTS:
        if hooks.get(point):
            hooks[point].insert(1, deadly(f"between_{point}", at))  # checkpoint saved, history not
        hooks.setdefault(point, []).append(deadly(point, at))
    return Agent(chat_generator=MockChatGenerator(response_fn=reply), tools=[work], hooks=hooks)


def run(url: str, notes: Path, point: str, at: str, *, asynchronous: bool) -> dict[str, Any]:
    messages = [ChatMessage.from_user("go")] if at else []
    context = {"run_id": point, "chat_history_id": point}
    whole = agent(url, notes, at)
    if asynchronous:
        return asyncio.run(whole.run_async(messages, hook_context=context))
    return whole.run(messages, hook_context=context)


def report(out: dict[str, Any], file: Path) -> None:
    facts = {name: out[name] for name in ("step_count", "tool_call_counts", "exit_reason")}
    roles = [message.role.value for message in out["messages"]]
    file.write_text(json.dumps(facts | {"roles": roles, "said": out["last_message"].text}))


def in_a_child(work: Callable[[], Any]) -> int:
    """The exit status of a child that did the work; minus the signal that killed it."""
    child = os.fork()
    if child == 0:
        work()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def kill_and_resume(url: str, folder: Path, point: str, *, turned: bool) -> dict[str, Any]:
    notes, file = folder / f"{point}.txt", folder / f"{point}.json"
    statuses = [
        in_a_child(lambda: run(url, notes, point, point, asynchronous=turned)),
        in_a_child(lambda: report(run(url, notes, point, "", asynchronous=not turned), file)),
    ]
    ran = notes.read_text().split() if notes.exists() else []
    return {"point": point, "statuses": statuses, "ran": ran, **json.loads(file.read_text())}


def main(url: str, folder: Path, points: list[str]) -> None:
    for number, point in enumerate(points):
        facts = kill_and_resume(url, folder, point, turned=number % 2 == 1)
        sys.stdout.write(json.dumps(facts) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])
