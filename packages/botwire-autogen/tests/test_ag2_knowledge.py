"""Files of AG2's agents: what AG2's own store does, for many processes, with nothing lost."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from ag2 import Agent, KnowledgeConfig
from ag2.knowledge import KnowledgeStore, LockedKnowledgeStore, MemoryKnowledgeStore
from ag2.policies import WorkingMemoryPolicy
from ag2.testing import TestConfig, TrackingConfig
from hypothesis import given, settings
from hypothesis import strategies as st

from botwire import AsyncMemory
from botwire_autogen.ag2 import BotWireKnowledgeStore, BotWireLock


@pytest.fixture
def store(url: str) -> BotWireKnowledgeStore:
    return BotWireKnowledgeStore(AsyncMemory("team", url=url), poll_interval=0.05)


# -- as AG2's own ----------------------------------------------------------------------------------

paths = st.sampled_from(["/", "a", "/a", "/a/b", "//a//b/", "/a/b/c.md", "/ab", "/é.md", "/A/b"])
text = st.text(alphabet="xyé☃\n", max_size=5)
steps = st.one_of(
    st.tuples(st.just("write"), paths, text),
    st.tuples(st.just("append"), paths, text),
    st.tuples(st.sampled_from(["read", "list", "delete", "exists"]), paths),
)


@given(steps=st.lists(steps, max_size=12))
@settings(deadline=None, max_examples=80)
def test_whatever_is_done_it_answers_as_the_store_of_ag2_does(steps: list[Any]) -> None:
    async def compare() -> None:
        memory = AsyncMemory("files", url="memory://")
        await memory.clear()
        ours, theirs = BotWireKnowledgeStore(memory), MemoryKnowledgeStore()
        for name, *arguments in steps:
            if name in ("write", "append") and arguments[0] == "/":
                continue  # a file named "/" is in no directory, not even in its own
            answers = [await getattr(each, name)(*arguments) for each in (ours, theirs)]
            assert answers[0] == answers[1], (name, arguments)
        assert await _everything(ours, "/") == await _everything(theirs, "/")

    asyncio.run(compare())


async def _everything(store: KnowledgeStore, path: str) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for name in await store.list(path):
        below = path + name
        found |= await _everything(store, below) if name.endswith("/") else {}
        found[below] = await store.read(below)
    return found


@given(
    pieces=st.lists(st.text(alphabet="abc", max_size=4), max_size=150),
    start=st.integers(-3, 300),
    end=st.none() | st.integers(0, 300),
)
@settings(deadline=None, max_examples=60)
def test_every_range_of_a_file_is_read_as_ag2_reads_it(
    pieces: list[str], start: int, end: int | None
) -> None:
    async def compare() -> None:
        memory = AsyncMemory("files", url="memory://")
        await memory.clear()
        ours, theirs = BotWireKnowledgeStore(memory), MemoryKnowledgeStore()
        for piece in pieces:
            assert await ours.append("/log", piece) == await theirs.append("/log", piece)
        expected = await theirs.read_range("/log", start, end)
        assert await ours.read_range("/log", start, end) == expected

    asyncio.run(compare())


async def test_ranges_count_bytes_and_refuse_to_cut_a_letter(store: BotWireKnowledgeStore) -> None:
    await store.write("/log", "é")
    assert await store.append("/log", "☃!") == 2
    assert await store.read_range("/log", 2) == "☃!"
    assert await store.read_range("/log", 0, 2) == "é"
    assert await store.read_range("/nothing", 0) == ""
    with pytest.raises(UnicodeDecodeError):
        await store.read_range("/log", 1)


def test_it_is_a_knowledge_store(store: BotWireKnowledgeStore) -> None:
    assert isinstance(store, KnowledgeStore)


# -- for many --------------------------------------------------------------------------------------

APPENDING = """
import asyncio, sys
from botwire import AsyncMemory
from botwire_autogen.ag2 import BotWireKnowledgeStore

async def main(name, url):
    store = BotWireKnowledgeStore(AsyncMemory("team", url=url))
    for number in range(60):
        line = f"{name} {number}\\n"
        offset = await store.append("/log.md", line)
        size = len(line)
        assert await store.read_range("/log.md", offset, offset + size) == line

asyncio.run(main(*sys.argv[1:]))
"""


def test_two_processes_append_to_one_file_and_each_offset_is_right(
    store: BotWireKnowledgeStore, url: str
) -> None:
    writers = [
        subprocess.Popen([sys.executable, "-c", APPENDING, name, url]) for name in ("one", "two")
    ]
    assert [writer.wait() for writer in writers] == [0, 0]
    text = asyncio.run(store.read("/log.md"))
    assert text is not None
    for name in ("one", "two"):
        lines = [line for line in text.splitlines() if line.startswith(name)]
        assert lines == [f"{name} {number}" for number in range(60)]


async def test_many_change_one_file_at_the_same_time_and_no_change_is_lost(
    store: BotWireKnowledgeStore,
) -> None:
    await asyncio.gather(
        *(store.update("/notes.md", lambda text, n=n: f"{text}{n}\n") for n in range(20))
    )
    text = await store.read("/notes.md")
    assert text is not None
    assert sorted(text.split(), key=int) == [str(n) for n in range(20)]
    assert await store.append("/notes.md", "end") == len(text)


@asynccontextmanager
async def watching(store: BotWireKnowledgeStore, path: str) -> AsyncIterator[Callable[[], Any]]:
    """The changes at a path, awaited one by one."""
    changes = asyncio.Queue[str]()
    subscription = await store.on_change(path, changes.put)
    try:
        yield lambda: asyncio.wait_for(changes.get(), 10)
    finally:
        await subscription.close()


async def test_changes_by_others_are_noticed_even_when_they_follow_at_once(
    store: BotWireKnowledgeStore, url: str
) -> None:
    other = BotWireKnowledgeStore(AsyncMemory("team", url=url))
    await other.write("/inbox/old", "x")
    async with watching(store, "/inbox") as change:
        await other.write("/outbox/x", "nobody is told")
        await other.write("/inbox/old", "y")
        assert await change() == "/inbox/old"
        await other.append("/inbox/new", "z")
        assert await change() == "/inbox/new"
        await other.delete("/inbox/old")
        await other.write("/inbox/new", "w")
        assert {await change(), await change()} == {"/inbox/old", "/inbox/new"}
        await other.write("/inbox", "a file named as the directory")
        assert await change() == "/inbox"


async def test_every_change_gives_a_file_a_version_it_never_had(
    store: BotWireKnowledgeStore,
) -> None:
    seen: set[int] = set()
    for number in range(5):
        await store.write("/a/b", str(number))
        versions = await store.list_versions_under("/a")
        assert versions.keys() == {"/a/b"}
        assert versions["/a/b"] not in seen
        seen |= set(versions.values())
        await store.delete("/a")
    assert await store.list_versions_under("/") == {}


async def test_a_lock_of_ours_guards_the_store(store: BotWireKnowledgeStore, url: str) -> None:
    lock = BotWireLock(AsyncMemory("team", url=url))
    locked = LockedKnowledgeStore(store, lock)

    async def add(number: int) -> None:
        await locked.append("/log", f"{number} ")

    await asyncio.gather(*(add(number) for number in range(10)))
    await locked.write("/plan", "a")
    await locked.delete("/plan")
    assert len((await locked.read("/log") or "").split()) == 10
    assert await AsyncMemory("team", url=url).list_keys("lock/") == []


# -- in an agent -----------------------------------------------------------------------------------


async def test_what_stands_in_the_working_memory_reaches_the_prompt_of_another_process(
    store: BotWireKnowledgeStore, url: str
) -> None:
    await store.write("/memory/working.md", "Ada drinks tea.")
    elsewhere = BotWireKnowledgeStore(AsyncMemory("team", url=url))
    config = TrackingConfig(TestConfig("tea"))
    agent = Agent(
        "bot",
        config=config,
        knowledge=KnowledgeConfig(store=elsewhere),
        assembly=[WorkingMemoryPolicy()],
    )
    await agent.ask("What does Ada drink?")
    assert "Ada drinks tea." in "\n".join(config.calls[0].prompt)
    assert await store.exists("/log/")
    await elsewhere.close()
    await elsewhere.close()
