"""The agent of `test_killed_agent.py`, as a program: it can be killed and started again.

    python killed_agent.py URL LOG DEATH [awaited]

Each tool that is executed, and each call of the model, adds a line to LOG. The process kills itself
(SIGKILL, nothing is cleaned up) when DEATH happens for the first time: "tool book", "model 2", ...
"""

import asyncio
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent_kit import ScriptedModel, call, calls
from langchain.agents import create_agent
from langchain_core.messages import AIMessage
from langchain_core.tools import tool

from botwire_langchain import BotWireMemoryMiddleware, BotWireSaver, BotWireStore

URL, LOG, DEATH = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
THREAD: Any = {"configurable": {"thread_id": "trip/1"}}


@dataclass
class User:
    user_id: str


def note(event: str) -> None:
    with LOG.open("a") as log:
        log.write(event + "\n")
    if event == DEATH:
        os.kill(os.getpid(), signal.SIGKILL)


def until_another_tool_was_saved() -> None:
    """Another process would see it then."""
    while not BotWireSaver(url=URL).get_tuple(THREAD).pending_writes:
        time.sleep(0.01)


@tool
def search(city: str) -> str:
    """Search for a train."""
    if f"tool search {city}" == DEATH:
        until_another_tool_was_saved()
    note(f"tool search {city}")
    return f"a train to {city} at 6:30"


@tool
def book(city: str) -> str:
    """Book a train."""
    note(f"tool book {city}")
    return f"booked {city}"


SCRIPT = [
    call("remember", "1", content="Ada travels to Anaheim.", key="trip"),
    calls(("search", "2", {"city": "Anaheim"}), ("search", "3", {"city": "Oslo"})),
    call("book", "4", city="Anaheim"),
    AIMessage("Your train is booked."),
]


class Model(ScriptedModel):
    def _generate(self, messages: list[Any], *args: Any, **options: Any) -> Any:
        answer = super()._generate(messages, *args, **options)
        turn = sum(isinstance(message, AIMessage) for message in messages)
        note(f"model {turn} {'trip' if 'Ada travels' in self.told else '-'}")
        return answer


def main() -> None:
    agent = create_agent(
        Model(script=SCRIPT),
        [search, book],
        middleware=[BotWireMemoryMiddleware(("memories", "{user_id}"))],
        checkpointer=BotWireSaver(url=URL),
        store=BotWireStore(url=URL),
        context_schema=User,
    )
    begun = agent.get_state(THREAD).values
    given: Any = None if begun else {"messages": [("user", "Book me a train to Anaheim.")]}
    # "sync": what a step did is kept before the next one begins.
    options: Any = {"context": User("ada"), "durability": "sync"}
    if "awaited" in sys.argv:
        result = asyncio.run(agent.ainvoke(given, THREAD, **options))
    else:
        result = agent.invoke(given, THREAD, **options)
    sys.stdout.write("\n".join(f"{message.type}: {message.text}" for message in result["messages"]))


main()
