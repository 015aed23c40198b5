"""The agent of `test_killed_agent.py`, as a program: it can be killed and started again.

    python killed_agent.py URL LOG DEATH

Each tool that is executed, and each call of the model, adds a line to LOG. The process kills itself
(SIGKILL, nothing is cleaned up) when DEATH happens for the first time: "tool book", "model 2", ...
"""

import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent_kit import ScriptedModel, call, calls
from langchain.agents import create_agent
from langchain_core.messages import AIMessage
from langchain_core.tools import tool

from botwire_langchain import BotWireMemoryMiddleware, BotWireSaver, BotWireStore

URL, LOG, DEATH = sys.argv[1], Path(sys.argv[2]), sys.argv[3]


@dataclass
class User:
    user_id: str


def note(event: str) -> None:
    with LOG.open("a") as log:
        log.write(event + "\n")
    if event == DEATH:
        os.kill(os.getpid(), signal.SIGKILL)


@tool
def search(city: str) -> str:
    """Search for a train."""
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
    config: Any = {"configurable": {"thread_id": "trip/1"}}
    begun = agent.get_state(config).values
    given: Any = None if begun else {"messages": [("user", "Book me a train to Anaheim.")]}
    # "sync": what a step did is kept before the next one begins.
    result = agent.invoke(given, config, context=User("ada"), durability="sync")
    sys.stdout.write("\n".join(f"{message.type}: {message.text}" for message in result["messages"]))


main()
