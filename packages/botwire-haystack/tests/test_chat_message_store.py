"""Conversations: nothing is lost, nothing is written twice, and they end when they should."""

import asyncio
import datetime as dt
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from haystack.dataclasses import ChatMessage, ImageContent, TextContent
from haystack_scripts import answering, assistant, calling, system, texts, user
from pydantic import BaseModel

from botwire import Conflict, Memory
from botwire.errors import InvalidValue, TooLarge
from botwire.stores.base import Limits
from botwire.stores.sqlite import SQLiteStore
from botwire.testing import FakeClock
from haystack_integrations.chat_message_stores.botwire import BotWireChatMessageStore

Does = Callable[..., Any]


def test_what_was_written_comes_back_in_order(store: BotWireChatMessageStore, does: Does) -> None:
    spoken = [system("be brief"), user("hi"), assistant("hello"), user("bye")]
    assert does(store, "write_messages", "c", spoken) == 4
    assert texts(does(store, "retrieve_messages", "c")) == ["be brief", "hi", "hello", "bye"]
    assert does(store, "count_messages", "c") == 4


def test_equal_messages_are_all_kept(store: BotWireChatMessageStore) -> None:
    store.write_messages("c", [user("yes"), user("yes")])
    store.write_messages("c", [user("yes")])
    assert store.count_messages("c") == 3


def test_writing_what_was_retrieved_changes_nothing(
    store: BotWireChatMessageStore, does: Does
) -> None:
    does(store, "write_messages", "c", [user("a"), assistant("b")])
    before = does(store, "version", "c")
    known = does(store, "retrieve_messages", "c")
    assert does(store, "write_messages", "c", known) == 0
    assert does(store, "version", "c") == before
    assert does(store, "write_messages", "c", [*known, user("c")]) == 1
    assert texts(does(store, "retrieve_messages", "c")) == ["a", "b", "c"]


def test_ids_given_by_authors_never_swallow_other_messages(store: BotWireChatMessageStore) -> None:
    """The store this one replaces dropped the second message: it numbered it "1", too."""
    numbered = user("numbered", meta={"chat_message_id": "1"})
    assert store.write_messages("c", [numbered]) == 1
    assert store.write_messages("c", [user("not numbered")]) == 1
    assert store.write_messages("c", [numbered]) == 0
    assert texts(store.retrieve_messages("c")) == ["numbered", "not numbered"]


def test_an_old_message_is_recognised_far_from_the_end(store: BotWireChatMessageStore) -> None:
    store.write_messages("c", [user("first")])
    first = store.retrieve_messages("c")
    store.write_messages("c", [user(str(n)) for n in range(1000)])
    assert store.write_messages("c", [*first, user("last")]) == 1
    assert store.count_messages("c") == 1002


def test_two_different_messages_with_one_id_are_refused_before_anything_is_written(
    store: BotWireChatMessageStore,
) -> None:
    meta = {"chat_message_id": "x"}
    with pytest.raises(ValueError, match="two different messages carry the chat_message_id 'x'"):
        store.write_messages("c", [user("a", meta=meta), user("b", meta=meta)])
    assert store.write_messages("c", [user("a", meta=meta), user("a", meta=meta)]) == 1


def test_messages_of_the_caller_stay_as_they_are(store: BotWireChatMessageStore) -> None:
    message = user("hi", meta={"k": 1})
    store.write_messages("c", [message])
    assert message.meta == {"k": 1}
    store.retrieve_messages("c")[0].meta["k"] = 2
    assert store.retrieve_messages("c")[0].meta["k"] == 1


def test_any_iterable_of_messages_is_written_whole(store: BotWireChatMessageStore) -> None:
    assert store.write_messages("c", (user(text) for text in "abc")) == 3
    assert store.write_messages("c", []) == 0
    assert store.write_messages("d", iter(())) == 0
    assert store.chat_history_ids() == ["c"]


def test_what_is_no_message_is_refused(store: BotWireChatMessageStore) -> None:
    with pytest.raises(ValueError, match="must be ChatMessage objects, not str"):
        store.write_messages("c", [user("a"), "b"])  # type: ignore[list-item]
    assert store.count_messages("c") == 0


def test_system_messages_can_be_left_out(url: str, made: Callable[..., Any]) -> None:
    store = made(BotWireChatMessageStore(url=url, skip_system_messages=True))
    assert store.write_messages("c", [system("be brief"), user("hi")]) == 1


def test_conversations_are_listed_and_deleted_one_by_one_or_all(
    store: BotWireChatMessageStore, does: Does
) -> None:
    names = ["a", "a/b", "a%2Fb", "ü", "x\ny", "a/"]
    for name in names:
        does(store, "write_messages", name, [user(name)])
    assert sorted(does(store, "chat_history_ids")) == sorted(names)
    does(store, "delete_messages", "a")
    assert does(store, "retrieve_messages", "a") == []
    assert texts(does(store, "retrieve_messages", "a/b")) == ["a/b"]
    does(store, "delete_all_messages")
    assert does(store, "chat_history_ids") == []


def test_namespaces_keep_to_themselves(url: str, made: Callable[..., Any]) -> None:
    one, other = (made(BotWireChatMessageStore(name, url=url)) for name in ("one", "other"))
    one.write_messages("c", [user("mine")])
    assert other.retrieve_messages("c") == []


def test_a_write_can_demand_that_nobody_wrote_meanwhile(
    store: BotWireChatMessageStore, does: Does
) -> None:
    assert does(store, "version", "c") == 0
    does(store, "write_messages", "c", [user("a")], if_version=0)
    seen = does(store, "version", "c")
    does(store, "write_messages", "c", [assistant("b")])
    with pytest.raises(Conflict):
        does(store, "write_messages", "c", [user("late")], if_version=seen)
    known = does(store, "retrieve_messages", "c")
    with pytest.raises(Conflict):
        does(store, "write_messages", "c", [*known, user("late")], if_version=seen)
    assert texts(does(store, "retrieve_messages", "c")) == ["a", "b"]


def test_new_messages_take_one_round_trip_whatever_the_length(
    store: BotWireChatMessageStore, operations: list[str]
) -> None:
    for _ in range(3):
        store.write_messages("c", [user("a"), assistant("b")])
    assert operations == ["append"] * 3


def test_adding_to_what_was_just_retrieved_reads_only_the_end(
    store: BotWireChatMessageStore, operations: list[str]
) -> None:
    store.write_messages("c", [user(str(n)) for n in range(500)])
    known = store.retrieve_messages("c", 5)
    operations.clear()
    assert store.write_messages("c", [*known, user("new")]) == 1
    assert operations == ["batch", "append"]


def test_the_last_rounds_of_a_long_conversation_take_one_round_trip(
    store: BotWireChatMessageStore, operations: list[str]
) -> None:
    store.write_messages("c", [make(str(n)) for n in range(500) for make in (user, assistant)])
    operations.clear()
    assert texts(store.retrieve_messages("c", 2)) == ["498", "498", "499", "499"]
    assert operations == ["batch"]


def test_last_k_is_honoured_down_to_nothing(store: BotWireChatMessageStore, does: Does) -> None:
    does(store, "write_messages", "c", [user("1"), assistant("1"), user("2"), assistant("2")])
    assert texts(does(store, "retrieve_messages", "c", 1)) == ["2", "2"]
    assert len(does(store, "retrieve_messages", "c", 2)) == 4
    assert len(does(store, "retrieve_messages", "c", 9)) == 4
    assert does(store, "retrieve_messages", "c", 0) == []
    with pytest.raises(ValueError, match="last_k must be 0 or greater"):
        does(store, "retrieve_messages", "c", -1)


def test_a_store_can_have_a_window_of_its_own(url: str, made: Callable[..., Any]) -> None:
    store = made(BotWireChatMessageStore(url=url, last_k=1))
    store.write_messages("c", [user("1"), user("2")])
    assert texts(store.retrieve_messages("c")) == ["2"]
    assert texts(store.retrieve_messages("c", 2)) == ["1", "2"]
    with pytest.raises(ValueError, match="last_k"):
        BotWireChatMessageStore(last_k=-2)


def test_a_round_with_more_messages_than_expected_is_read_whole(
    store: BotWireChatMessageStore,
) -> None:
    steps = [make(f"t{n}") for n in range(100) for make in (calling, answering)]
    store.write_messages("c", [user("old"), assistant("old"), user("go"), *steps])
    assert store.retrieve_messages("c", 1)[0].text == "go"
    assert len(store.retrieve_messages("c", 1)) == 201


class Usage(BaseModel):
    tokens: int


def test_meta_takes_its_json_form_and_what_has_none_is_refused_by_name(
    store: BotWireChatMessageStore,
) -> None:
    when = dt.datetime(2026, 11, 20, tzinfo=dt.UTC)
    meta = {"when": when, "pair": (1, 2), "usage": Usage(tokens=3), 7: "seven"}
    store.write_messages("c", [user("hi", meta=meta)])
    found = store.retrieve_messages("c")[0].meta
    assert found.pop("chat_message_id")
    assert found == {
        "when": "2026-11-20T00:00:00Z",
        "pair": [1, 2],
        "usage": {"tokens": 3},
        "7": "seven",
    }
    with pytest.raises(InvalidValue, match=r"\$\.meta\.what is of type object"):
        store.write_messages("c", [user("fine"), user("hi", meta={"what": object()})])
    assert store.count_messages("c") == 1


def test_tool_results_may_be_any_sequence_of_parts(store: BotWireChatMessageStore) -> None:
    parts = (TextContent("a"), ImageContent("aGk=", mime_type="image/png", validation=False))
    store.write_messages("c", [replace_result(answering("1"), parts)])
    assert store.retrieve_messages("c")[0].tool_call_results[0].result == list(parts)


def replace_result(message: ChatMessage, parts: Any) -> ChatMessage:
    return replace(message, _content=[replace(message.tool_call_results[0], result=parts)])


def test_messages_that_other_clients_appended_without_an_id_are_kept(
    store: BotWireChatMessageStore,
) -> None:
    plain = {"role": "user", "content": [{"text": "by curl"}]}
    store.memory.append("chat/c", plain, plain, {"role": "assistant", "content": "in old form"})
    store.write_messages("c", [user("hi", meta={"chat_message_id": "1"})])
    everything = ["by curl", "by curl", "in old form", "hi"]
    assert texts(store.retrieve_messages("c")) == everything
    assert texts(store.retrieve_messages("c", 3)) == everything
    assert texts(store.retrieve_messages("c", 10**15)) == everything


def test_threads_share_a_store_from_its_first_use_on(store: BotWireChatMessageStore) -> None:
    with ThreadPoolExecutor(8) as pool:
        written = pool.map(lambda n: store.write_messages("c", [user(str(n))]), range(80))
        assert sum(written) == 80
    assert sorted(map(int, map(str, texts(store.retrieve_messages("c"))))) == list(range(80))


def test_several_event_loops_use_a_store_one_after_the_other(url: str) -> None:
    store = BotWireChatMessageStore("test", url=url, timeout=29)  # a connection of its own

    async def write(text: str) -> int:
        written = await store.write_messages_async("c", [user(text)])
        await store.close_async()
        return written

    assert [asyncio.run(write(text)) for text in "abc"] == [1, 1, 1]
    assert texts(store.retrieve_messages("c")) == ["a", "b", "c"]
    store.close()


# -- expiry ------------------------------------------------------------------------------------


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def timed(clock: FakeClock) -> Callable[..., BotWireChatMessageStore]:
    """A store whose time passes when `clock` is told to."""
    memory = Memory("haystack", store=SQLiteStore(None, Limits(value_bytes=2000), clock))

    def make(**parameters: Any) -> BotWireChatMessageStore:
        made = BotWireChatMessageStore(url="memory://", **parameters)
        made._memory, made._async_memory = memory, memory.to_async()
        return made

    return make


def test_a_conversation_ends_when_nobody_wrote_for_its_ttl(
    timed: Callable[..., BotWireChatMessageStore], clock: FakeClock
) -> None:
    store = timed(ttl=100)
    store.write_messages("c", [user("a")])
    clock.now += 90
    store.write_messages("c", [user("b")])
    clock.now += 90
    assert texts(store.retrieve_messages("c")) == ["a", "b"]
    clock.now += 11
    assert store.retrieve_messages("c") == []
    assert store.count_messages("c") == 0


def test_with_sliding_reading_keeps_a_conversation_alive(
    timed: Callable[..., BotWireChatMessageStore], clock: FakeClock
) -> None:
    store = timed(ttl=100, sliding=True)
    store.write_messages("c", [user("a")])
    for _ in range(3):
        clock.now += 90
        assert store.retrieve_messages("c", 1)
    clock.now += 101
    assert store.retrieve_messages("c") == []


# -- a conversation larger than one value may be -----------------------------------------------


def test_a_conversation_may_grow_beyond_the_limit_of_one_value(
    timed: Callable[..., BotWireChatMessageStore], operations: list[str]
) -> None:
    store = timed()
    said = [f"{n}: {'x' * 300}" for n in range(30)]
    for text in said:
        assert store.write_messages("c", [user(text)]) == 1
    assert len(store.memory.list_keys("chat/c/")) > 3
    assert texts(store.retrieve_messages("c")) == said
    assert texts(store.retrieve_messages("c", 20)) == said[-20:]
    assert texts(store.retrieve_messages("c", 2)) == said[-2:]
    assert store.count_messages("c") == 30
    assert store.write_messages("c", store.retrieve_messages("c")) == 0
    assert store.chat_history_ids() == ["c"]
    store.delete_messages("c")
    assert store.memory.list_keys() == []


def test_all_parts_of_a_large_conversation_live_equally_long(
    timed: Callable[..., BotWireChatMessageStore], clock: FakeClock
) -> None:
    store = timed(ttl=100)
    for n in range(12):
        clock.now += 90
        store.write_messages("c", [user(f"{n}: {'x' * 300}")])
    assert store.count_messages("c") == 12
    clock.now += 101
    assert store.count_messages("c") == 0


def test_a_single_message_above_the_limit_is_refused_and_nothing_is_lost(
    timed: Callable[..., BotWireChatMessageStore],
) -> None:
    store = timed()
    store.write_messages("c", [user("a")])
    with pytest.raises(TooLarge):
        store.write_messages("c", [user("x" * 3000)])
    assert texts(store.retrieve_messages("c")) == ["a"]
    with pytest.raises(TooLarge):
        store.write_messages("new", [user("x" * 3000)])
