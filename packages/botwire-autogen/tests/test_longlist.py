"""Lists that outgrow a value: whole for every reader, shared by writers, gone when deleted."""

import asyncio
from typing import Any

import pytest
from autogen_core.models import UserMessage
from hypothesis import given, settings
from hypothesis import strategies as st

from botwire import AsyncMemory, Conflict
from botwire.errors import TooLarge
from botwire.stores.base import Limits
from botwire.stores.sqlite import SQLiteStore
from botwire_autogen import BotWireChatCompletionContext, longlist
from botwire_autogen.longlist import LongList


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(longlist, "LARGE", 40)


@pytest.fixture
def memory(url: str) -> AsyncMemory:
    return AsyncMemory("lists", url=url)


steps = st.one_of(
    st.tuples(st.just("append"), st.lists(st.text(max_size=30), max_size=3)),
    st.tuples(st.just("replace"), st.lists(st.text(max_size=30), max_size=6)),
    st.tuples(st.just("delete"), st.none()),
)


@pytest.mark.usefixtures("_small")
@given(steps=st.lists(steps, max_size=10))
@settings(deadline=None, max_examples=60)
def test_it_behaves_as_a_list_and_leaves_nothing_behind(steps: list[Any]) -> None:
    async def compare() -> None:
        memory = AsyncMemory("lists", url="memory://")
        await memory.clear()
        ours, expected = LongList(memory, "key"), list[str]()
        for name, items in steps:
            if name == "append":
                await ours.append(items)
                expected = [*expected, *items]
            elif name == "replace":
                await ours.replace(items)
                expected = items
            else:
                await ours.delete()
                expected = []
            items, _ = await LongList(memory, "key").read()
            assert items == expected
            assert all(entry.bytes < 300 for entry in [e async for e in memory.entries()])
        await ours.delete()
        assert await memory.list_keys() == []

    asyncio.run(compare())


async def test_many_writers_append_to_one_list_and_nothing_is_lost(memory: AsyncMemory) -> None:
    async def write(name: int) -> None:
        mine = LongList(memory, "key")
        for number in range(20):
            await mine.append([[name, number]])

    await asyncio.gather(*(write(name) for name in range(5)))
    items, _ = await LongList(memory, "key").read()
    for name in range(5):
        assert [number for writer, number in items if writer == name] == list(range(20))
    assert await memory.list_keys("part/")
    await LongList(memory, "key").delete()
    assert await memory.list_keys() == []


async def test_a_reader_finds_a_whole_list_while_another_replaces_it(memory: AsyncMemory) -> None:
    long = LongList(memory, "key")
    await long.replace(["a" * 30] * 10)

    async def replace() -> None:
        for _ in range(20):
            await LongList(memory, "key").replace(["a" * 30] * 10)

    replacing = asyncio.create_task(replace())
    while not replacing.done():
        items, _ = await LongList(memory, "key").read()
        assert items == ["a" * 30] * 10
    await replacing


async def test_a_change_on_old_knowledge_is_refused_whatever_the_length(
    memory: AsyncMemory,
) -> None:
    one, two = LongList(memory, "key"), LongList(memory, "key")
    version = await one.append(["a" * 50], 0)
    assert (await two.read())[1] == version  # the items have moved, and this is the list's version
    await two.append(["b"], version)
    keys = await memory.list_keys()
    for change in (one.append, one.replace):
        with pytest.raises(Conflict):
            await change(["c" * 50] * 3, version)
    assert await memory.list_keys() == keys  # what was refused left nothing behind
    assert (await one.read())[0] == ["a" * 50, "b"]


@pytest.mark.parametrize("conditional", [True, False])
async def test_an_item_finds_room_as_long_as_it_fits_into_a_value_itself(
    conditional: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(longlist, "LARGE", 400)
    memory = AsyncMemory("lists", store=SQLiteStore(None, Limits(value_bytes=1000)))
    long = LongList(memory, "key")
    version = await long.append(["a" * 300], 0)
    version = await long.append(["b" * 900], version if conditional else None)
    assert (await LongList(memory, "key").read()) == (["a" * 300, "b" * 900], version)
    keys = await memory.list_keys()
    with pytest.raises(TooLarge):
        await long.append(["c" * 1000], version if conditional else None)
    assert await memory.list_keys() == keys
    assert (await long.read()) == (["a" * 300, "b" * 900], version)


async def test_a_part_lives_as_long_as_its_list(memory: AsyncMemory) -> None:
    long = LongList(memory, "key", ttl=100)
    await long.append(["a" * 50])
    for change in (lambda: long.append(["b"]), long.read, LongList(memory, "key", ttl=100).read):
        for key in await memory.list_keys():
            await memory.touch(key, 10)
        await change()
        lives = [await memory.ttl(key) or 0 for key in await memory.list_keys("part/")]
        assert lives
        assert min(lives) > 90


async def test_a_conversation_may_be_larger_than_the_largest_value(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(longlist, "LARGE", 4000)
    store = SQLiteStore(None, limits=Limits(value_bytes=10_000))

    def context() -> BotWireChatCompletionContext:
        made = BotWireChatCompletionContext("ada")
        made._memory = AsyncMemory("ada", store=store)
        made._stored._memory = made._memory
        return made

    writing = context()
    for number in range(100):
        await writing.add_message(UserMessage(content=f"{number} {'x' * 1000}", source="user"))
    messages = await context().get_messages()
    assert [str(message.content).split()[0] for message in messages] == [
        str(number) for number in range(100)
    ]
    again = context()
    await again.load_state(await writing.save_state())
    await again.load_state({"messages": [m.model_dump() for m in messages[:60]]})
    assert len(await context().get_messages()) == 60
    await context().clear()
    assert await again._memory.list_keys() == []
