"""What a chat history keeps, and what it never mixes up."""

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ChatMessage,
    ChatMessageChunk,
    FunctionMessage,
    FunctionMessageChunk,
    HumanMessage,
    HumanMessageChunk,
    RemoveMessage,
    SystemMessage,
    SystemMessageChunk,
    ToolMessage,
    ToolMessageChunk,
)

from botwire import AsyncMemory, BotWireChatHistory, Memory
from botwire.errors import InvalidRequest, InvalidValue, Unavailable
from botwire.testing import FakeClock

HISTORIES = {
    "sync": lambda history: history,
    "async": lambda history: AwaitedHistory(history),
}


class AwaitedHistory:
    def __init__(self, history: BotWireChatHistory) -> None:
        self.history = history
        self.runner = asyncio.Runner()

    @property
    def messages(self) -> list[BaseMessage]:
        return self.runner.run(self.history.aget_messages())

    def add_messages(self, messages: list[BaseMessage]) -> None:
        self.runner.run(self.history.aadd_messages(messages))

    def clear(self) -> None:
        self.runner.run(self.history.aclear())


@pytest.fixture(params=HISTORIES.values(), ids=HISTORIES.keys())
def make(request: pytest.FixtureRequest, url: str) -> Iterator[Callable[..., Any]]:
    made: list[Any] = []

    def history(session_id: object, **options: Any) -> Any:
        made.append(request.param(BotWireChatHistory(session_id, **({"url": url} | options))))
        return made[-1]

    yield history
    for one in made:
        if isinstance(one, AwaitedHistory):
            one.runner.close()


USAGE = {
    "input_tokens": 10,
    "output_tokens": 5,
    "total_tokens": 15,
    "input_token_details": {"cache_read": 3},
}
CALL = {"name": "search", "args": {"q": "é", "n": [1, 2.5]}, "id": "call-1", "type": "tool_call"}
BAD_CALL = {
    "name": "f",
    "args": "{oops",
    "id": "2",
    "error": "not JSON",
    "type": "invalid_tool_call",
}
BLOCKS: list[str | dict[Any, Any]] = [
    "text",
    {"type": "text", "text": "look", "annotations": [{"type": "citation", "url": "x"}]},
    {"type": "image", "base64": "aGk=", "mime_type": "image/png"},
    {"type": "audio", "url": "https://example.com/a.mp3"},
    {"type": "reasoning", "reasoning": "because"},
]
EVERY_KIND: list[BaseMessage] = [
    HumanMessage("hi", id="h1", name="Ada", additional_kwargs={"a": 1}),
    HumanMessage(BLOCKS),
    AIMessage(
        BLOCKS,
        id="a1",
        tool_calls=[CALL],
        invalid_tool_calls=[BAD_CALL],
        usage_metadata=USAGE,
        response_metadata={"model_name": "m", "logprobs": None},
    ),
    SystemMessage("be kind", id="s1"),
    ToolMessage("42", tool_call_id="call-1", name="search", status="error", artifact={"rows": [1]}),
    ToolMessage("x", tool_call_id="c", artifact={"raw": b"\x00\xff", "pair": (1, ("a",))}),
    FunctionMessage("f", name="fn"),
    ChatMessage("c", role="critic"),
    RemoveMessage("gone"),
    AIMessageChunk("ch", id="chunk", tool_call_chunks=[], chunk_position="last"),
    AIMessageChunk("", tool_call_chunks=[{"name": "f", "args": '{"a', "id": "1", "index": 0}]),
    HumanMessageChunk("h"),
    SystemMessageChunk("s"),
    ToolMessageChunk("t", tool_call_id="1"),
    FunctionMessageChunk("f", name="n"),
    ChatMessageChunk("c", role="r"),
]
UNUSUAL: list[BaseMessage] = [
    AIMessage("", additional_kwargs={"at": datetime(2026, 1, 2, 3, tzinfo=UTC)}),
    AIMessage("", additional_kwargs={"on": date(2026, 1, 2), "for": timedelta(1, 2, 3)}),
    AIMessage("", additional_kwargs={"price": Decimal("1.10"), "id": UUID(int=7), "s": {1, 2}}),
    AIMessage("", additional_kwargs={"keys": {1: "a", ("b", 2): "c"}, "$tuple": [1]}),
    AIMessage("", response_metadata={"logprob": float("-inf"), "t": (1, 2)}),
    HumanMessage("half \ud83d a pair, \x00 and \U0001f600"),
    HumanMessage("big", additional_kwargs={"n": 2**70}),
]


@pytest.mark.parametrize("message", EVERY_KIND + UNUSUAL, ids=range(len(EVERY_KIND + UNUSUAL)))
def test_every_message_class_comes_back_with_every_field(
    make: Callable[..., Any], message: BaseMessage
) -> None:
    history = make("s")
    history.add_messages([message])
    assert history.messages == [message]
    assert type(history.messages[0]) is type(message)
    assert history.messages[0].model_dump() == message.model_dump()


def test_nan_comes_back(make: Callable[..., Any]) -> None:
    history = make("s")
    history.add_messages([AIMessage("", response_metadata={"score": float("nan")})])
    score = history.messages[0].response_metadata["score"]
    assert score != score


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=3)
        | st.binary(max_size=5)
    ),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None)
@given(text=st.text(), artifact=json_like, session=st.text(max_size=30))
def test_any_text_and_any_data_come_back(text: str, artifact: Any, session: str) -> None:
    memory = Memory("any", url="memory://")
    history = BotWireChatHistory(session, memory=memory)
    history.clear()
    message = ToolMessage(text, tool_call_id="1", artifact=artifact)
    history.add_messages([message])
    assert history.messages == [message]
    history.clear()


def test_plain_messages_are_stored_as_langchain_writes_them(url: str) -> None:
    BotWireChatHistory("s", url=url).add_user_message("hi")
    stored = Memory("chat-history", url=url).get("s")
    assert [(record["type"], record["data"]["content"]) for record in stored] == [("human", "hi")]


def test_a_message_that_could_not_be_read_back_is_refused(make: Callable[..., Any]) -> None:
    class Custom(BaseMessage):
        type: str = "custom"

    history = make("s")
    with pytest.raises(InvalidRequest, match="cannot be read back"):
        history.add_messages([HumanMessage("first"), Custom(content="x")])
    with pytest.raises(InvalidValue, match="artifact"):
        history.add_messages([ToolMessage("x", tool_call_id="1", artifact=object())])
    assert history.messages == []


SESSIONS = ["a", "ab", "a/b", "a%2Fb", "a/", "", "~empty", "a\x00", "\ud800", "é" * 400, "é" * 401]


def test_sessions_never_mix_whatever_their_names(make: Callable[..., Any]) -> None:
    histories = [make(session) for session in SESSIONS]
    for number, history in enumerate(histories):
        history.add_messages([HumanMessage(f"of session {number}")])
    for number, history in enumerate(histories):
        assert [message.content for message in history.messages] == [f"of session {number}"]
    histories[0].clear()
    assert [len(history.messages) for history in histories] == [0] + [1] * (len(SESSIONS) - 1)


def test_a_session_id_of_another_type_is_taken_as_text(make: Callable[..., Any]) -> None:
    make(42).add_messages([HumanMessage("hi")])
    assert len(make("42").messages) == 1


def test_adding_any_number_and_reading_take_one_round_trip_each(
    make: Callable[..., Any], round_trips: list[str]
) -> None:
    history = make("s")
    assert round_trips == []
    history.add_messages([HumanMessage(str(number)) for number in range(50)])
    assert round_trips == ["append"]
    assert len(history.messages) == 50
    assert round_trips == ["append", "get"]
    history.add_messages([])
    assert round_trips == ["append", "get"]


def test_the_oldest_messages_go_when_new_ones_are_added(make: Callable[..., Any]) -> None:
    history = make("s", max_messages=3)
    for number in range(5):
        history.add_messages([HumanMessage(str(number))])
    assert [message.content for message in history.messages] == ["2", "3", "4"]
    assert len(make("s", max_messages=1).messages) == 3  # reading trims nothing


def test_a_session_lives_as_long_as_it_is_talked_to(timed: Memory, clock: FakeClock) -> None:
    history = BotWireChatHistory("s", memory=timed, ttl=60)
    history.add_user_message("first")
    clock.advance(50)
    history.add_ai_message("second")
    clock.advance(59.9)
    assert len(history.messages) == 2
    clock.advance(0.2)
    assert history.messages == []


def test_what_cannot_be_is_refused_at_once() -> None:
    for options in ({"ttl": 0}, {"ttl": -1}, {"max_messages": 0}):
        with pytest.raises(InvalidRequest):
            BotWireChatHistory("s", url="memory://", **options)


def test_building_one_touches_nothing() -> None:
    history = BotWireChatHistory("s", url="http://127.0.0.1:9")
    assert history.session_id == "s"


def test_no_server_is_an_error_that_says_so() -> None:
    memory = Memory("s", url="http://127.0.0.1:9", timeout=0.2)
    with pytest.raises(Unavailable):
        _ = BotWireChatHistory("s", memory=memory).messages


def test_a_memory_of_either_face_will_do(url: str) -> None:
    BotWireChatHistory("s", memory=Memory("n", url=url)).add_user_message("hi")
    assert len(BotWireChatHistory("s", memory=AsyncMemory("n", url=url)).messages) == 1


def test_one_object_serves_threads_and_several_event_loops(url: str) -> None:
    history = BotWireChatHistory("s", url=url)
    for number in range(3):
        history.add_user_message(str(number))
        asyncio.run(history.aadd_messages([HumanMessage("again")]))
        assert len(asyncio.run(history.aget_messages())) == 2 * (number + 1)


WRITER = """
import sys
from botwire import BotWireChatHistory
history = BotWireChatHistory("shared", url=sys.argv[1])
for number in range(200):
    history.add_user_message(f"{sys.argv[2]} {number}")
"""


def test_two_processes_that_append_200_messages_each_lose_none(url: str) -> None:
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, url, name]) for name in "ab"]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    contents = [message.content for message in BotWireChatHistory("shared", url=url).messages]
    for name in "ab":
        mine = [text for text in contents if text.startswith(name)]
        assert mine == [f"{name} {number}" for number in range(200)]


def test_it_can_be_printed_as_a_conversation(url: str) -> None:
    history = BotWireChatHistory("s", url=url)
    history.add_user_message("hi")
    history.add_ai_message("hello")
    assert str(history) == "Human: hi\nAI: hello"
