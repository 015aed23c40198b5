"""`make bench-langchain`: LangGraph threads and chat histories on BotWire, beside peers.

A turn is `create_agent` with a scripted model: a question, two tool calls side by side, an answer.
It is run on threads that hold 10, 100 and 1,000 such turns already, embedded (SQLite) and over HTTP
to a server process, beside langgraph-checkpoint-sqlite and (where a PostgreSQL can be started)
langgraph-checkpoint-postgres on the same graph, in turns. Bytes: what the saver writes or sends.
Ratios are to langgraph-checkpoint-sqlite in the same run. Then: how many requests a superstep takes
whose tasks end together or apart, and chat history, beside langchain-postgres where it is there
(the make target brings it along, for this run only). Nothing is asserted. Option: --quick.
"""

import sys
from pathlib import Path

from table import interleaved, note, print_table

# This folder holds a file of the framework's name; from here on only the framework has it.
sys.path.remove(str(Path(__file__).parent))

import asyncio
import itertools
import logging
import operator
import os
import random
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Annotated, Any, TypedDict
from uuid import NAMESPACE_URL, uuid4, uuid5

from langchain.agents import create_agent
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import START, StateGraph

from botwire import AsyncMemory, BotWireChatHistory, Memory
from botwire.jsontext import write
from botwire.testing import ServerProcess
from botwire.testing.postgres import PostgresServer
from botwire_langchain import BotWireSaver

QUICK = "--quick" in sys.argv
TURNS = (10, 100) if QUICK else (10, 100, 1000)
MESSAGES = (10, 100, 1000) if QUICK else (10, 100, 1000, 10_000)
ROUNDS = 6 if QUICK else 20
STEPS = 8  # supersteps of tasks side by side
PAUSE = 0.05  # seconds that they take
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
        self.trips = 0
        self._bytes = 0
        self._operations: list[Any] = []  # measured when asked, not while the clock runs
        for face in (Memory, AsyncMemory):
            self._count(face, face._run)

    def _count(self, face: Any, run: Any) -> None:
        def counted(memory: Any, operation: Any) -> Any:
            self.trips += 1
            self._operations.append(operation)
            return run(memory, operation)

        face._run = counted

    def wrote(self, count: int) -> None:
        self._bytes += count

    @property
    def bytes(self) -> int:
        """All bytes until now."""
        while self._operations:
            self._bytes += len(write(self._operations.pop().request()))
        return self._bytes


class CountingSerializer(JsonPlusSerializer):
    counter: Counter

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        kind, data = super().dumps_typed(obj)
        self.counter.wrote(len(data))
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
            # In another order each time: who comes behind one of its kind finds the caches warm.
            for agent in random.sample(list(agents.values()), len(agents)):
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


class State(TypedDict):
    done: Annotated[list[int], operator.add]


def tasks_of(saver: Any, apart: Sequence[float]) -> Any:
    """A graph of STEPS supersteps of tasks, each of which ends so many seconds after the first."""

    def task(seconds: float) -> Any:
        def run(state: State) -> State:
            time.sleep(seconds)
            return {"done": [1]}

        async def run_async(state: State) -> State:
            await asyncio.sleep(seconds)
            return {"done": [1]}

        return RunnableLambda(run, run_async)

    builder = StateGraph(State)
    names = [f"task {number}" for number in range(len(apart))]
    for name, later in zip(names, apart, strict=True):
        builder.add_node(name, task(PAUSE + later))
        builder.add_edge(START, name)
        builder.add_conditional_edges(
            name, lambda state: names if len(state["done"]) < len(apart) * STEPS else "__end__"
        )
    return builder.compile(checkpointer=saver)


def supersteps(url: str, counter: Counter) -> None:
    """Requests a superstep over HTTP, by how its tasks end and how the graph is run."""
    rows: list[list[object]] = []
    schedules = {
        "one task": (0.0,),
        "two tasks that end together": (0.0, 0.0),
        f"two tasks that end {PAUSE * 1000:.0f} ms apart": (0.0, PAUSE),
    }
    ways = list(itertools.product(("async", "sync"), (False, True)))
    with asyncio.Runner() as runner:
        for name, apart in schedules.items():
            note(f"supersteps of {name}")
            row: list[object] = [name]
            for durability, awaited in ways:
                graph = tasks_of(BotWireSaver(url=url), apart)
                config: Any = {"configurable": {"thread_id": uuid4().hex}}
                before, options = counter.trips, {"durability": durability}
                if awaited:
                    runner.run(graph.ainvoke({"done": []}, config, **options))
                else:
                    graph.invoke({"done": []}, config, **options)
                writes = counter.trips - before - 1  # a run begins with a read
                row.append(f"{writes / len(list(graph.get_state_history(config))):.1f}")
            rows.append(row)
    head = ["", *(f"{'ainvoke' if awaited else 'invoke'}, {how}" for how, awaited in ways)]
    print_table("Requests a superstep over HTTP, by durability", head, rows)


def histories(places: dict[str, Callable[[str], Any]]) -> None:
    """Appending to and reading chat histories of different lengths, by who keeps them."""
    sessions = {
        (name, count): make(f"session {count}")
        for name, make in places.items()
        for count in MESSAGES
    }
    note("chat history")
    for (_, count), session in sessions.items():
        session.add_messages([HumanMessage("z" * 200) for _ in range(count)])
    pair = [HumanMessage("z" * 200), AIMessage("z" * 200)]
    tasks = {key: lambda s=session: s.add_messages(pair) for key, session in sessions.items()}
    appends = interleaved(tasks, repeat=5, rounds=5)
    rows: list[list[object]] = []
    for (name, count), session in sessions.items():
        started = time.perf_counter()
        length = len(session.messages)
        read = (time.perf_counter() - started) * 1e3
        append = appends[name, count]
        ratio = f"{append / appends[name, MESSAGES[0]]:.2f}"
        each = f"{read / length * 1e3:.0f}"
        rows.append([f"{count:,}", name, f"{append / 1e3:.2f}", ratio, f"{read:.1f}", each])
    head = [
        "messages before",
        "place",
        "ms append 2",
        "to the shortest",
        "ms read all",
        "us a message",
    ]
    print_table("Chat history (a read includes making the message objects)", head, rows)


def postgres(stack: ExitStack) -> str | None:
    """The address of a database on a PostgreSQL of its own, or None and a line that says why."""
    try:
        return stack.enter_context(PostgresServer(fsync="on")).database()
    except Exception as error:  # what a machine lacks is no reason to print nothing
        print(f"Nothing was run on PostgreSQL: {type(error).__name__}: {error}")
        return None


def postgres_saver(stack: ExitStack, url: str, serde: Any) -> Any:
    from langgraph.checkpoint.postgres import PostgresSaver

    saver = stack.enter_context(PostgresSaver.from_conn_string(url))
    saver.serde = serde
    saver.setup()
    return saver


def postgres_history(stack: ExitStack, url: str) -> dict[str, Callable[[str], Any]]:
    """langchain-postgres, if it is installed: it is no requirement of these packages."""
    try:
        from langchain_postgres import PostgresChatMessageHistory
    except ImportError as error:
        print(f"langchain-postgres was not run ({error}): `make bench-langchain` brings it along.")
        return {}
    import psycopg

    connection = stack.enter_context(psycopg.connect(url))
    PostgresChatMessageHistory.create_tables(connection, "history")

    def make(session: str) -> Any:
        name = str(uuid5(NAMESPACE_URL, session))  # it takes no other names
        return PostgresChatMessageHistory("history", name, sync_connection=connection)

    return {"langchain-postgres": make}


def main() -> None:
    counter = Counter()
    serde = CountingSerializer(allowed_msgpack_modules=None)
    CountingSerializer.counter = counter
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        server = stack.enter_context(ServerProcess(f"sqlite:///{folder}/server.db"))
        peer = sqlite3.connect(f"{folder}/peer.db", check_same_thread=False)
        stack.callback(peer.close)
        database = postgres(stack)
        embedded = f"sqlite:///{folder}/botwire.db"
        savers: dict[str, Any] = {
            "langgraph sqlite": SqliteSaver(peer, serde=serde),
            "botwire embedded": BotWireSaver(url=embedded),
            "botwire HTTP": BotWireSaver(url=server.url),
        }
        keepers: dict[str, Callable[[str], Any]] = {
            "botwire embedded": partial(BotWireChatHistory, url=embedded),
            "botwire HTTP": partial(BotWireChatHistory, url=server.url),
        }
        if database is not None:
            savers["langgraph postgres"] = postgres_saver(stack, database, serde)
            keepers |= postgres_history(stack, database)
        turns(savers, counter)
        supersteps(server.url, counter)
        histories(keepers)


if __name__ == "__main__":
    main()
