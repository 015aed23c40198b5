"""What AutoGen's Memory promises and what ours promises beyond it."""

import asyncio
import base64
import io
import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

import pytest
from autogen_core import CancellationToken, Image
from autogen_core.memory import MemoryContent, MemoryMimeType
from autogen_core.model_context import UnboundedChatCompletionContext
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from botwire import AsyncMemory, Conflict
from botwire.errors import InvalidValue, NotFound
from botwire_autogen import BotWireMemory
from botwire_autogen.content import content_of, record_of


def text(content: str, **metadata: Any) -> MemoryContent:
    return MemoryContent(content=content, mime_type=MemoryMimeType.TEXT, metadata=metadata or None)


def picture(color: tuple[int, int, int] = (250, 10, 3), size: tuple[int, int] = (3, 2)) -> Image:
    return Image(Pillow.new("RGB", size, color))


@pytest.fixture
def memory(url: str) -> BotWireMemory:
    return BotWireMemory("ada", url=url)


async def texts(memory: BotWireMemory, query: str = "", **options: Any) -> list[Any]:
    return [found.content for found in (await memory.query(query, **options)).results]


# -- the protocol ---------------------------------------------------------------------------------


async def test_what_was_added_is_found_by_another_memory_of_the_same_name(url: str) -> None:
    await BotWireMemory("ada", url=url).add(text("likes tea"))
    assert await texts(BotWireMemory("ada", url=url)) == ["likes tea"]
    assert await texts(BotWireMemory("ben", url=url)) == []


async def test_an_empty_query_gives_the_newest_in_the_order_of_time(memory: BotWireMemory) -> None:
    for number in range(30):
        await memory.add(text(f"fact {number}"))
    assert await texts(memory, top_k=3) == ["fact 27", "fact 28", "fact 29"]
    assert len(await texts(memory)) == 20
    assert len(await memory.list()) == 30


async def test_a_query_finds_by_words_and_the_rare_word_counts_more(memory: BotWireMemory) -> None:
    for fact in ("Ada likes tea", "Ada likes jazz", "Ada lives in Oslo", "Ada has a cat"):
        await memory.add(text(fact))
    assert (await texts(memory, "what TEA does Ada drink?"))[0] == "Ada likes tea"
    assert await texts(memory, "oslo") == ["Ada lives in Oslo"]
    assert await texts(memory, "zebra") == []
    asked = MemoryContent(content="jazz", mime_type="text/plain")
    assert [found.content for found in (await memory.query(asked)).results] == ["Ada likes jazz"]


async def test_words_are_found_in_scripts_without_spaces(memory: BotWireMemory) -> None:
    await memory.add(text("用户喜欢绿茶"))
    await memory.add(text("用户住在北京"))
    assert await texts(memory, "他喝什么茶?") == ["用户喜欢绿茶"]


async def test_memories_are_found_by_metadata(memory: BotWireMemory, url: str) -> None:
    await memory.add(text("likes tea", topic="food", since={"year": 2020}))
    await memory.add(text("likes jazz", topic="music"))
    await memory.add(text("likes rain"))
    assert await texts(memory, where={"topic": "music"}) == ["likes jazz"]
    assert await texts(memory, where={"since": {"year": 2020}}) == ["likes tea"]
    assert await texts(memory, "likes", where={"topic": None}) == []
    music_only = BotWireMemory("ada", url=url, where={"topic": "music"})
    assert await texts(music_only) == ["likes jazz"]


async def test_metadata_is_searched_beyond_the_first_page(memory: BotWireMemory, url: str) -> None:
    await memory.add(text("the oldest", topic="rare"))
    async with AsyncMemory("ada", url=url) as store:
        await store.set_many({f"memory/2{number:05}": "filler" for number in range(1500)})
    assert await texts(memory, where={"topic": "rare"}) == ["the oldest"]


async def test_a_prefix_keeps_memories_of_one_namespace_apart(url: str) -> None:
    facts, plans = (BotWireMemory("ada", prefix=name, url=url) for name in ("facts/", "plans/"))
    await facts.add(text("likes tea"))
    await plans.add(text("buys tea"))
    assert await texts(facts) == ["likes tea"]
    await facts.clear()
    assert await texts(facts) == []
    assert await texts(plans) == ["buys tea"]


async def test_a_query_can_be_narrowed_to_a_prefix_of_keys(memory: BotWireMemory) -> None:
    await memory.put(text("Oslo"), "city/home")
    await memory.put(text("Rome"), "city/work")
    await memory.put(text("jazz"), "music")
    assert await texts(memory, prefix="city/") == ["Oslo", "Rome"]


async def test_an_unknown_option_of_a_query_is_an_error(memory: BotWireMemory) -> None:
    with pytest.raises(TypeError, match="score_threshold"):
        await memory.query("tea", score_threshold=0.5)


async def test_clear_and_close_can_be_repeated_and_close_deletes_nothing(url: str) -> None:
    memory = BotWireMemory("ada", url=url)
    await memory.add(text("likes tea"))
    await memory.close()
    await memory.close()
    again = BotWireMemory("ada", url=url)
    assert await texts(again) == ["likes tea"]
    await again.clear()
    await again.clear()
    assert await texts(again) == []


async def test_a_cancelled_token_ends_a_query(memory: BotWireMemory) -> None:
    token = CancellationToken()
    token.cancel()
    with pytest.raises(asyncio.CancelledError):
        await memory.query("tea", token)
    await memory.add(text("likes tea"), CancellationToken())
    assert await texts(memory) == ["likes tea"]


# -- beyond the protocol --------------------------------------------------------------------------


async def test_one_memory_can_be_read_changed_and_deleted(memory: BotWireMemory) -> None:
    key = await memory.put(text("likes tea"))
    await memory.put(text("has a cat"))
    await memory.update(key, text("likes coffee"))
    found = await memory.get(key)
    assert found is not None
    assert found.content == text("likes coffee")
    assert await texts(memory) == ["likes coffee", "has a cat"]  # a change keeps its place
    assert await memory.delete(key)
    assert not await memory.delete(key)
    assert await memory.get(key) is None
    with pytest.raises(NotFound, match=key):
        await memory.update(key, text("likes water"))


async def test_a_change_made_on_old_knowledge_is_refused(memory: BotWireMemory) -> None:
    key = await memory.put(text("one"))
    first = await memory.get(key)
    assert first is not None
    await memory.update(key, text("two"), if_version=first.version)
    with pytest.raises(Conflict):
        await memory.update(key, text("three"), if_version=first.version)
    with pytest.raises(Conflict):
        await memory.delete(key, if_version=first.version)
    assert await texts(memory) == ["two"]


async def test_memories_expire_and_a_change_keeps_the_expiry(url: str) -> None:
    memory = BotWireMemory("ada", ttl=3600, url=url)
    lasting = BotWireMemory("ada", url=url)
    key = await memory.put(text("for an hour"))
    await memory.update(key, text("for an hour still"))
    found = await memory.get(key)
    assert found is not None
    assert found.expires_in is not None
    assert 3590 < found.expires_in <= 3600
    brief = await lasting.put(text("gone"), ttl=0.01)
    await asyncio.sleep(0.02)
    assert await lasting.get(brief) is None
    assert await texts(lasting) == ["for an hour still"]


async def test_a_memory_with_a_name_is_replaced_and_always_among_the_newest(
    memory: BotWireMemory,
) -> None:
    await memory.put(text("Oslo"), "city")
    await memory.put(text("Rome"), "city")
    for number in range(5):
        await memory.add(text(f"fact {number}"))
    assert await texts(memory, top_k=2) == ["fact 4", "Rome"]


async def test_plain_values_are_shared_with_every_other_part_of_botwire(
    memory: BotWireMemory, url: str
) -> None:
    store = AsyncMemory("ada", url=url)
    await memory.put(text("Oslo"), "city")
    assert await store.get("memory/city") == "Oslo"
    await store.set("memory/diet", {"meat": False})
    await store.set("memory/lucky", [3, 7])
    await store.set("memory/chart", {"data": [1, 2]})  # MemoryContent(...) itself raises TypeError
    found = {kept.key: kept.content for kept in await memory.list()}
    assert found["diet"] == MemoryContent(content={"meat": False}, mime_type=MemoryMimeType.JSON)
    assert found["lucky"] == text("[3, 7]")
    assert found["chart"].content == {"data": [1, 2]}


# -- lossless -------------------------------------------------------------------------------------

leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.datetimes().map(lambda when: when.replace(fold=0))  # which no comparison sees
    | st.dates()
    | st.uuids()
)
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=5) | st.just("$type"), inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.integers(), inner, max_size=2)
        | st.sets(st.integers(), max_size=1)  # repr shows larger ones in any order
    ),
    max_leaves=8,
)
objects = st.dictionaries(st.text(max_size=5) | st.just("$type"), values)
contents = st.builds(
    MemoryContent,
    content=st.text() | st.binary() | objects.filter(lambda value: "data" not in value),
    mime_type=st.sampled_from(MemoryMimeType) | st.sampled_from(["text/plain", "image/png", ""]),
    metadata=st.none() | objects,
)


@given(content=contents)
@settings(deadline=None, max_examples=100)
def test_any_memory_equals_itself_when_a_new_process_reads_it(
    content: MemoryContent, elsewhere: Any
) -> None:
    name = elsewhere.namespace()
    asyncio.run(BotWireMemory(name, url=elsewhere.url).add(content))
    (back,) = elsewhere.read("memories", name)
    assert back == content
    assert type(back.content) is type(content.content)  # True == 1 and b"" is no text
    assert repr(back) == repr(content)


async def test_an_image_comes_back_with_every_pixel(memory: BotWireMemory) -> None:
    for mime in (MemoryMimeType.IMAGE, "image/png"):
        shown = MemoryContent(content=picture(), mime_type=mime, metadata={"also": picture()})
        kept = await memory.get(await memory.put(shown))
        assert kept is not None
        assert kept.content.mime_type == mime
        for image in (kept.content.content, (kept.content.metadata or {})["also"]):
            assert isinstance(image, Image)
            assert image.image.tobytes() == picture().image.tobytes()


async def test_an_object_with_the_member_data_is_not_taken_for_an_image(
    memory: BotWireMemory,
) -> None:
    buffer = io.BytesIO()
    picture().image.save(buffer, "PNG")
    data = {"data": base64.b64encode(buffer.getvalue()).decode()}
    content = MemoryContent(content=data, mime_type=MemoryMimeType.JSON)
    kept = await memory.get(await memory.put(content))
    assert kept is not None
    assert kept.content.content == data


def test_a_memory_of_another_process_equals_the_one_that_was_added(url: str) -> None:
    """The records of one process, read by a new one, have the same representation."""
    when = datetime(2026, 11, 20, 12, tzinfo=UTC)
    adding = f"""
import asyncio, datetime
from autogen_core.memory import MemoryContent, MemoryMimeType
from botwire_autogen import BotWireMemory
memory = BotWireMemory("ada", url={url!r})
metadata = {{"when": datetime.datetime(2026, 11, 20, 12, tzinfo=datetime.UTC), "at": (1, b"x")}}
for content in ("tea", b"\\xff\\x00", {{"a": [1, None, 2.5]}}):
    asyncio.run(memory.add(MemoryContent(content=content, mime_type="x/y", metadata=metadata)))
"""
    subprocess.run([sys.executable, "-c", adding], check=True)
    found = asyncio.run(BotWireMemory("ada", url=url).query("")).results
    metadata = {"when": when, "at": (1, b"x")}
    assert found == [
        MemoryContent(content=content, mime_type="x/y", metadata=metadata)
        for content in ("tea", b"\xff\x00", {"a": [1, None, 2.5]})
    ]


def test_what_could_not_be_rebuilt_is_refused_by_name() -> None:
    with pytest.raises(InvalidValue, match="CancellationToken"):
        record_of(text("x", token=CancellationToken()))
    loop: dict[str, Any] = {}
    loop["self"] = loop
    with pytest.raises(InvalidValue, match="contains itself"):
        record_of(text("x", loop=loop))


def test_stored_data_cannot_name_a_class_to_make() -> None:
    record = {"$type": "MemoryContent", "content": {"$type": "os.system", "value": "true"}}
    with pytest.raises(InvalidValue, match=r"os\.system"):
        content_of({**record, "mime_type": "text/plain"})


# -- many writers ---------------------------------------------------------------------------------

ADDING = """
import asyncio, sys
from autogen_core.memory import MemoryContent
from botwire_autogen import BotWireMemory

async def main(name, url):
    memory = BotWireMemory("shared", url=url)
    for number in range(200):
        await memory.add(MemoryContent(content=f"{name} {number}", mime_type="text/plain"))

asyncio.run(main(*sys.argv[1:]))
"""


def test_two_processes_add_200_memories_each_and_nothing_is_lost(url: str) -> None:
    writers = [
        subprocess.Popen([sys.executable, "-c", ADDING, name, url]) for name in ("one", "two")
    ]
    assert [writer.wait() for writer in writers] == [0, 0]
    found = asyncio.run(BotWireMemory("shared", url=url).list())
    for name in ("one", "two"):
        mine = [kept.content.content for kept in found if str(kept.content.content)[:3] == name]
        assert mine == [f"{name} {number}" for number in range(200)]


async def test_an_unreachable_memory_says_so(nowhere: str) -> None:
    memory = BotWireMemory("ada", url=nowhere, timeout=0.3)
    with pytest.raises(ConnectionError):
        await memory.query("tea")
    with pytest.raises(ConnectionError):
        await memory.update_context(UnboundedChatCompletionContext())
