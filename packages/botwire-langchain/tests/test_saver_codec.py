"""How values become text and come back: as LangGraph's serializer does it, only quicker."""

import enum
import operator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
)
from langgraph.checkpoint.serde.jsonplus import EXT_PYDANTIC_V2, JsonPlusSerializer
from langgraph.types import Send
from ormsgpack import Ext, packb
from pydantic import BaseModel

from botwire_langchain.checkpoint.codec import Codec, strict_serializer
from botwire_langchain.checkpoint.prints import BLOCK, Prints

SERDE = strict_serializer()
CODEC = Codec(SERDE)
CALL: Any = {"name": "add", "args": {"a": 1, "deep": {"b": [2.5, None]}}, "id": "1"}
USAGE: Any = {
    "input_tokens": 1,
    "output_tokens": 2,
    "total_tokens": 3,
    "input_token_details": {"cache_read": 1},
}


class Point(BaseModel):
    x: int = 0


class Special(HumanMessage):
    pass


class Word(str):
    pass


class Color(enum.Enum):
    RED = "red"


MESSAGES: list[Any] = [
    HumanMessage("question", id="1", name="alice"),
    HumanMessage(["text", {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}]),
    HumanMessage("with more", custom={"a": [1]}),
    SystemMessage("be kind", additional_kwargs={"a": 1}, response_metadata={"b": [1, {"c": 2}]}),
    AIMessage("", tool_calls=[CALL, {**CALL, "id": None}], usage_metadata=USAGE),
    AIMessage("", invalid_tool_calls=[{"name": "x", "args": "{", "id": "2", "error": "what?"}]),
    AIMessage("", additional_kwargs={"tool_calls": [{"id": "3", "function": {}}]}),
    AIMessage(
        "",
        additional_kwargs={
            "tool_calls": [{"id": "3", "function": {"name": "add", "arguments": '{"a": 1}'}}]
        },
    ),
    AIMessage([{"type": "text", "text": "1", "annotations": [{"type": "citation"}]}]),
    ToolMessage("3", tool_call_id="1", status="error", artifact={"a": [(1, b"\0"), UUID(int=1)]}),
    ToolMessage(["a", {"type": "text", "text": "b"}], tool_call_id="1", artifact=Point(x=1)),
    AIMessageChunk("part", tool_call_chunks=[{"name": "a", "args": "{", "id": "1", "index": 0}]),
    ChatMessage("hello", role="critic"),
    FunctionMessage("3", name="add"),
    RemoveMessage(id="1"),
]


def parts(message: Any) -> Any:
    """Everything that a pydantic object is made of."""
    return (
        type(message),
        message.__dict__,
        message.__pydantic_extra__,
        message.__pydantic_fields_set__,
        message.__pydantic_private__,
    )


@pytest.mark.parametrize("message", MESSAGES)
def test_a_message_comes_back_as_langgraph_itself_reads_it(message: Any) -> None:
    reads = SERDE.loads_typed(SERDE.dumps_typed(message))
    assert parts(CODEC.load(CODEC.pack(message))) == parts(reads)
    [found] = CODEC.load_all([CODEC.pack(message)])
    assert parts(found) == parts(reads)


def test_messages_come_back_wherever_they_stand() -> None:
    value = {"a": [MESSAGES[0], {"b": MESSAGES[4]}], "send": Send("node", {"c": MESSAGES[9]})}
    read: Any = SERDE.loads_typed(SERDE.dumps_typed(value))
    found = CODEC.load(CODEC.pack(value))
    assert found == read
    assert parts(found["send"].arg["c"]) == parts(read["send"].arg["c"])


def test_a_message_that_was_read_can_be_used_as_any_other() -> None:
    [found] = CODEC.load_all([CODEC.pack(HumanMessage("one", id="1"))])
    found.content = "two"
    found.note = "mine"
    assert found == HumanMessage("two", id="1", note="mine")
    assert found.model_copy() == found
    assert HumanMessage.model_validate(found.model_dump()) == found
    [other] = CODEC.load_all([CODEC.pack(HumanMessage("one", id="1"))])
    assert other == HumanMessage("one", id="1")


def test_a_message_comes_back_as_it_was_left_though_its_constructor_would_change_it() -> None:
    message = MESSAGES[7].model_copy()
    message.tool_calls = []
    assert SERDE.loads_typed(SERDE.dumps_typed(message)).tool_calls  # parsed once more
    assert CODEC.load(CODEC.pack(message)) == message


def stored(kind: type[BaseMessage], fields: Any) -> bytes:
    data = (kind.__module__, kind.__name__, fields, "model_validate_json")
    return packb(Ext(EXT_PYDANTIC_V2, packb(data)))


@pytest.mark.parametrize(
    "fields",
    [
        {"content": "of a version with fewer fields"},
        {**HumanMessage("of one with more").model_dump(), "later": 1},
        {"content": 1},  # LangGraph makes a message of this, too
    ],
    ids=operator.itemgetter("content"),
)
def test_a_message_with_other_fields_goes_through_its_constructor(fields: Any) -> None:
    data = stored(HumanMessage, fields)
    found = CODEC.load(Codec(_Fixed(data)).pack(None))
    assert parts(found) == parts(SERDE.loads_typed(("msgpack", data)))


class _Fixed(JsonPlusSerializer):
    def __init__(self, data: bytes) -> None:
        super().__init__()
        self.data = data

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        return "msgpack", self.data


def test_classes_that_are_not_allowed_are_still_not_built(caplog: Any) -> None:
    value = [Point(x=1), Special("mine", id="1"), HumanMessage("theirs", id="2")]
    point, special, human = CODEC.load(CODEC.pack(value))
    assert point == {"x": 1}
    assert special["content"] == "mine"
    assert human == HumanMessage("theirs", id="2")
    allowing = Codec(strict_serializer([Point, Special]))
    assert allowing.load(allowing.pack(value)) == value


# -- fingerprints --------------------------------------------------------------------------------

DIFFERENT: list[Any] = [
    *(None, True, 1, 1.0, -1, "1", b"1", Word("1"), [1], (1,), [[1]], {"a": 1}, {"a": True}),
    *({1: 1}, {"a": 1, "b": 2}, {"b": 2, "a": 1}, 0.0, -0.0, float("inf"), 2**64, "\ud800", "", []),
    *({}, (), UUID(int=1), str(UUID(int=1)), Color.RED, "red", datetime(2026, 1, 1, tzinfo=UTC)),
    *(Point(), Point(x=1), {"x": 1}, {1, 2}, [Point()], [Point(x=1)]),
    HumanMessage("a"),
    HumanMessage("a", id="1"),
    HumanMessage("a", more=1),
    HumanMessage("a", more=True),
    HumanMessage("a", additional_kwargs={"more": 1}),
    HumanMessage("a", additional_kwargs={"more": (1,)}),
    HumanMessage("a", additional_kwargs={"more": [1]}),
    HumanMessage("a", additional_kwargs={"more": Point()}),
    HumanMessage("a", additional_kwargs={"more": Point(x=1)}),
    Special("a"),
    HumanMessage("a").model_dump(),
    SystemMessage("a"),
    SystemMessage("a", additional_kwargs={1: 1}),
]


def prints(codec: Codec, values: list[Any]) -> list[int]:
    return [codec.fingerprint([value]) for value in values]


def test_everything_that_differs_has_another_fingerprint() -> None:
    codec = Codec(strict_serializer([Point, Special]))
    found = prints(codec, DIFFERENT)
    assert len(set(found)) == len(DIFFERENT)
    assert prints(codec, DIFFERENT) == found


def test_several_values_have_a_fingerprint_that_sees_each_of_them_and_their_order() -> None:
    codec = Codec(strict_serializer([Point, Special]))
    for beside in (HumanMessage("beside"), Point(x=3)):  # packed at once, and one by one
        found = [codec.fingerprint([beside, value]) for value in DIFFERENT]
        found += [codec.fingerprint([value, beside]) for value in DIFFERENT]
        assert len(set(found)) == 2 * len(DIFFERENT)


def test_a_change_deep_inside_a_message_changes_its_fingerprint() -> None:
    message = AIMessage("", tool_calls=[CALL])
    before = CODEC.fingerprint([MESSAGES[0], message])
    message.tool_calls[0]["args"]["deep"]["b"].append(1)
    assert CODEC.fingerprint([MESSAGES[0], message]) != before


def test_a_message_that_was_read_has_the_fingerprint_of_the_one_that_was_stored() -> None:
    same = [message for message in MESSAGES if message.type in ("human", "system", "ai")]
    loaded = CODEC.load_all([CODEC.pack(message) for message in same])
    assert prints(CODEC, loaded) == prints(CODEC, same)


# -- what two lists have in common ---------------------------------------------------------------


@pytest.mark.parametrize("length", [1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 5])
@pytest.mark.parametrize("more", [0, 1, BLOCK, 2 * BLOCK + 3])
def test_a_list_that_grew_has_all_of_the_one_before(length: int, more: int) -> None:
    old = Prints.of(list(range(length)), CODEC)
    items = list(range(length + more))
    assert old.common(items, Prints.of(items, CODEC), CODEC) == length


@pytest.mark.parametrize("at", range(2 * BLOCK + 5))
@pytest.mark.parametrize("more", [0, 1, 20, -1, -20])
def test_a_changed_item_is_never_taken_for_the_one_before(at: int, more: int) -> None:
    old = Prints.of(list(range(2 * BLOCK + 5)), CODEC)
    items = list(range(2 * BLOCK + 5 + more))
    at = min(at, len(items))
    items[at : at + 1] = ["changed"]
    same = old.common(items, Prints.of(items, CODEC), CODEC)
    assert at - BLOCK < same <= at
    if at >= 2 * BLOCK and more >= 0:  # what was added last is known one by one
        assert same == at


def test_a_list_that_shrank_has_what_is_left() -> None:
    old = Prints.of(list(range(2 * BLOCK)), CODEC)
    for length in range(2 * BLOCK):
        items = list(range(length))
        same = old.common(items, Prints.of(items, CODEC), CODEC)
        assert length - BLOCK < same <= length
