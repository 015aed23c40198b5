"""`python benchmarks/langchain.py`: LangGraph threads and chat histories on BotWire, beside peers.

A turn is `create_agent` with a scripted model: a question, two tool calls side by side, an answer.
It is run on threads that hold 10, 100 and 1,000 such turns already, embedded (SQLite) and over HTTP
to a server process, beside langgraph-checkpoint-sqlite and (where a PostgreSQL can be started)
langgraph-checkpoint-postgres on the same graph, in turns. Bytes: what the saver writes or sends.
Ratios are to langgraph-checkpoint-sqlite in the same run. Nothing is asserted. Option: --quick.
"""

import sys
from pathlib import Path

from table import interleaved, note, print_table

# This folder holds a file of the framework's name; from here on only the framework has it.
sys.path.remove(str(Path(__file__).parent))

import itertools
import logging
import os
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

from langchain.agents import create_agent
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.sqlite import SqliteSaver

from botwire import BotWireChatHistory, Memory
from botwire.jsontext import write
from botwire.testing import ServerProcess
from botwire_langchain import BotWireSaver

QUICK = "--quick" in sys.argv
TURNS = (10, 100) if QUICK else (10, 100, 1000)
MESSAGES = (10, 100, 1000) if QUICK else (10, 100, 1000, 10_000)
ROUNDS = 6 if QUICK else 10
logging.disable(logging.WARNING)
os.environ["LANGSMITH_TRACING"] = "false"


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


class Model(GenericFakeChatModel):
    def bind_tools(self, tools: Any, **options: Any) -> "Model":
        return self


def asks(turn: int) -> AIMessage:
    calls = [{"name": "add", "args": {"a": 1, "b": turn}, "id": f"{turn}-{n}"} for n in range(2)]
    return AIMessage("", tool_calls=calls)


def answers() -> Iterator[AIMessage]:
    for turn in itertools.count():
        yield asks(turn)
        yield AIMessage(f"The answer of turn {turn}. " + "x" * 400)


def history(turns: int) -> list[Any]:
    messages: list[Any] = []
    for turn in range(turns):
        call = asks(turn)
        messages += [HumanMessage("What is it? " + "y" * 200), call]
        messages += [ToolMessage("3", tool_call_id=one["id"]) for one in call.tool_calls]
        messages.append(AIMessage(f"The answer of turn {turn}. " + "x" * 400))
    return messages


class Counter:
    """Counts round trips of BotWire, and the bytes that savers write or send."""

    def __init__(self) -> None:
        self.trips = self.bytes = 0
        run = Memory._run

        def counted(memory: Memory, operation: Any) -> Any:
            self.trips += 1
            self.bytes += len(write(operation.request()))
            return run(memory, operation)

        Memory._run = counted


class CountingSerializer(JsonPlusSerializer):
    counter: Counter

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        kind, data = super().dumps_typed(obj)
        self.counter.bytes += len(data)
        return kind, data


class Agent:
    def __init__(self, saver: Any, turns: int) -> None:
        self.agent = create_agent(Model(messages=answers()), [add], checkpointer=saver)
        self.config: Any = {"configurable": {"thread_id": f"thread {turns}"}}
        self.agent.update_state(self.config, {"messages": history(turns)})
        self.milliseconds: list[float] = []
        self.trips: list[int] = []
        self.bytes: list[int] = []

    def turn(self, counter: Counter) -> None:
        trips, sent, started = counter.trips, counter.bytes, time.perf_counter()
        self.agent.invoke({"messages": [("user", "What is it? " + "y" * 200)]}, self.config)
        self.milliseconds.append((time.perf_counter() - started) * 1000)
        self.trips.append(counter.trips - trips)
        self.bytes.append(counter.bytes - sent)


def turns(savers: dict[str, Any], counter: Counter) -> None:
    rows: list[list[object]] = []
    for count in TURNS:
        note(f"turns on threads of {count:,}")
        agents = {name: Agent(saver, count) for name, saver in savers.items()}
        for _ in range(ROUNDS):
            for agent in agents.values():
                agent.turn(counter)
        base = statistics.median(agents["langgraph sqlite"].milliseconds)
        for name, agent in agents.items():
            middle = statistics.median(agent.milliseconds)
            trips = statistics.median(agent.trips) if name.startswith("botwire") else "-"
            steps = sum(1 for _ in itertools.islice(agent.agent.get_state_history(agent.config), 5))
            each = f"{(float(trips) - 1) / steps:.1f}" if trips != "-" else "-"
            sent = f"{statistics.median(agent.bytes):,.0f}"
            rows.append(
                [f"{count:,}", name, f"{middle:.1f}", f"{middle / base:.2f}", trips, each, sent]
            )
    head = [
        "turns before",
        "saver",
        "ms a turn",
        "ratio",
        "requests",
        "a superstep",
        "bytes a turn",
    ]
    print_table("A turn of an agent that calls two tools (1 read and 5 supersteps)", head, rows)


def histories(places: dict[str, str]) -> None:
    rows: list[list[object]] = []
    tasks: dict[str, Callable[[], object]] = {}
    for name, url in places.items():
        for count in MESSAGES:
            session = BotWireChatHistory(f"session {count}", url=url)
            session.add_messages([HumanMessage("z" * 200) for _ in range(count)])
            pair = [HumanMessage("z" * 200), AIMessage("z" * 200)]
            tasks[f"{name} {count:,} append"] = lambda s=session, p=pair: s.add_messages(p)
    note("chat history, appending")
    appends = interleaved(tasks, repeat=5, rounds=5)
    for name, url in places.items():
        first = appends[f"{name} {MESSAGES[0]:,} append"]
        for count in MESSAGES:
            session = BotWireChatHistory(f"session {count}", url=url)
            started = time.perf_counter()
            length = len(session.messages)
            read = (time.perf_counter() - started) * 1e3
            append = appends[f"{name} {count:,} append"]
            ratio = f"{append / first:.2f}"
            rows.append(
                [
                    f"{count:,}",
                    name,
                    f"{append / 1e3:.2f}",
                    ratio,
                    f"{read:.1f}",
                    f"{read / length * 1e3:.0f}",
                ]
            )
    head = [
        "messages before",
        "place",
        "ms append 2",
        "to the shortest",
        "ms read all",
        "us a message",
    ]
    print_table("Chat history (a read includes making the message objects)", head, rows)
    print("  langchain-redis and langchain-postgres are not installed here and were not run.")


def postgres(stack: ExitStack, serde: Any) -> dict[str, Any]:
    """A saver on a PostgreSQL of its own, or nothing and a line that says why."""
    try:
        from langgraph.checkpoint.postgres import PostgresSaver

        from botwire.testing.postgres import PostgresServer

        server = stack.enter_context(PostgresServer(fsync="on"))
        saver = stack.enter_context(PostgresSaver.from_conn_string(server.database()))
    except Exception as error:  # what a machine lacks is no reason to print nothing
        print(f"langgraph-checkpoint-postgres was not run: {type(error).__name__}: {error}")
        return {}
    saver.serde = serde
    saver.setup()
    return {"langgraph postgres": saver}


def main() -> None:
    counter = Counter()
    serde = CountingSerializer(allowed_msgpack_modules=None)
    CountingSerializer.counter = counter
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        server = stack.enter_context(ServerProcess(f"sqlite:///{folder}/server.db"))
        peer = sqlite3.connect(f"{folder}/peer.db", check_same_thread=False)
        stack.callback(peer.close)
        embedded = f"sqlite:///{folder}/botwire.db"
        savers: dict[str, Any] = {
            "langgraph sqlite": SqliteSaver(peer, serde=serde),
            "botwire embedded": BotWireSaver(url=embedded),
            "botwire HTTP": BotWireSaver(url=server.url),
            **postgres(stack, serde),
        }
        turns(savers, counter)
        histories({"embedded": embedded, "HTTP": server.url})


if __name__ == "__main__":
    main()
