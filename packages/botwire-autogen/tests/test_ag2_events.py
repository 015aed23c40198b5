"""Events come back as they were, and data can make nothing that is not on the list."""

import json
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from ag2.events import (
    BaseEvent,
    BinaryInput,
    BinaryResult,
    BinaryType,
    DataInput,
    Field,
    FileIdInput,
    HaltEvent,
    HumanInputRequest,
    HumanMessage,
    ModelMessage,
    ModelRequest,
    ModelResponse,
    ObserverAlert,
    Severity,
    TaskCompleted,
    TaskFailed,
    TaskStarted,
    TextInput,
    ToolCallEvent,
    ToolCallsEvent,
    ToolErrorEvent,
    ToolResult,
    ToolResultEvent,
    ToolResultsEvent,
    UnknownEvent,
    UrlInput,
    Usage,
    UsageEvent,
)
from ag2.task import TaskSpec
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from botwire import Memory
from botwire.errors import InvalidValue
from botwire_autogen.ag2.events import EventCodec

codec = EventCodec()


def there_and_back(event: BaseEvent, reader: EventCodec = codec) -> Any:
    """Through a real store, as JSON."""
    memory = Memory("events", url="memory://")
    memory.set("event", codec.write(event))
    return reader.read(memory.get("event"))


text = st.text(max_size=6)
data = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | text | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(text | st.sampled_from(["$type", "__event__", "__dataclass__"]), inner)
    ),
    max_leaves=6,
)
metadata = st.dictionaries(text, data, max_size=2)
inputs = st.one_of(
    st.builds(TextInput, text, metadata=metadata),
    st.builds(DataInput, data),
    st.builds(BinaryInput, st.binary(), media_type=text, kind=st.sampled_from(BinaryType)),
    st.builds(UrlInput, text, kind=st.sampled_from(BinaryType)),
    st.builds(FileIdInput, text, filename=st.none() | text),
)
calls = st.builds(ToolCallEvent, text, id=text, arguments=text, vendor_metadata=metadata)
results = st.builds(
    ToolResultEvent,
    parent_id=text,
    name=st.none() | text,
    result=st.builds(
        ToolResult, parts=st.lists(inputs, max_size=2), final=st.booleans(), metadata=metadata
    ),
)
usage = st.builds(Usage, st.none() | st.integers(0, 9), st.none() | st.floats(0, 9))
errors = st.sampled_from(
    [ValueError("no"), KeyError("k"), FileNotFoundError(2, "gone"), TimeoutError(), Exception("e")]
)
events = st.one_of(
    inputs,
    calls,
    results,
    st.builds(ModelRequest, st.lists(inputs, max_size=2)),
    st.builds(
        ModelResponse,
        st.none() | st.builds(ModelMessage, text, metadata=metadata),
        tool_calls=st.builds(ToolCallsEvent, st.lists(calls, max_size=2)),
        usage=usage,
        files=st.lists(st.builds(BinaryResult, st.binary(), metadata), max_size=1),
        finish_reason=st.none() | text,
    ),
    st.builds(ToolResultsEvent, st.lists(results, max_size=2)),
    st.builds(ToolErrorEvent, parent_id=text, error=errors, result=st.builds(ToolResult, text)),
    st.builds(UsageEvent, usage, kind=text),
    st.builds(HumanInputRequest, text, timeout=st.none() | st.floats(0, 9)),
    st.builds(HumanMessage, text),
    st.builds(
        ObserverAlert,
        source=text,
        severity=st.sampled_from(Severity),
        message=text,
        data=metadata,
    ),
    st.builds(HaltEvent, reason=text, source=text, alerts=st.lists(text, max_size=1)),
    st.builds(
        TaskStarted,
        task_id=text,
        agent_name=text,
        objective=text,
        spec=st.none() | st.builds(TaskSpec, text, payload=metadata),
    ),
    st.builds(
        TaskCompleted,
        task_id=text,
        agent_name=text,
        objective=text,
        result=data,
        task_stream=st.builds(uuid4),
        usage=usage,
    ),
)


@given(event=events)
@settings(deadline=None, max_examples=100)
def test_any_event_equals_itself_when_a_new_process_reads_it(
    event: BaseEvent, elsewhere: Any
) -> None:
    assert there_and_back(event) == event
    name = elsewhere.namespace()
    Memory(name, url=elsewhere.url).set("event", codec.write(event))
    kind = type(event).__name__
    assert elsewhere.read("events", name) == (kind, repr(sorted(vars(event).items())))


def test_values_that_json_lacks_come_back() -> None:
    when = datetime(2026, 11, 20, tzinfo=UTC)
    event = DataInput(
        {"at": when, "price": Decimal("1.50"), "raw": bytearray(b"x"), "pair": (1, 2)}
    )
    assert there_and_back(event).data == event.data


def test_errors_come_back_as_built_in_ones_or_as_a_plain_exception() -> None:
    def back(error: Exception) -> Exception:
        failed = TaskFailed(task_id="t", agent_name="a", objective="o", error=error)
        return there_and_back(failed).error

    class OfMyOwn(Exception):
        pass

    assert repr(back(FileNotFoundError(2, "gone"))) == repr(FileNotFoundError(2, "gone"))
    assert repr(back(OfMyOwn("mine"))) == repr(Exception("mine"))
    unicode = UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad")
    assert repr(back(unicode)) == repr(Exception(str(unicode)))


def test_the_items_of_a_provider_come_back_as_what_the_provider_declares() -> None:
    from ag2.config.anthropic.events import AnthropicRedactedThinkingEvent
    from anthropic.types import RedactedThinkingBlock

    block = RedactedThinkingBlock(data="x", type="redacted_thinking")
    back = there_and_back(AnthropicRedactedThinkingEvent(block=block))
    assert type(back) is AnthropicRedactedThinkingEvent
    assert back.block == block


# -- the list -------------------------------------------------------------------------------------


class Mine(BaseEvent):
    content: str = Field(kw_only=False)


class Model(BaseModel):
    a: int


@dataclass
class Data:
    a: int


def test_own_classes_come_back_only_when_they_are_allowed() -> None:
    event = ModelRequest([DataInput(Model(a=1)), DataInput(Data(a=2))])
    assert [part.data for part in there_and_back(event).parts] == [{"a": 1}, {"a": 2}]
    knowing = EventCodec(allow=[Model, Data, Mine])
    assert there_and_back(event, knowing) == event
    assert there_and_back(Mine("x"), knowing) == Mine("x")


def test_an_event_of_an_unknown_class_is_kept_as_it_was() -> None:
    unknown = there_and_back(Mine("x"))
    assert isinstance(unknown, UnknownEvent)
    assert unknown.type_name.endswith("test_ag2_events.Mine")
    assert there_and_back(unknown, EventCodec(allow=[Mine])) == Mine("x")


ATTACKS = [
    "collections.Counter",
    "subprocess.Popen",
    "ag2.tools.sandbox.local.subprocess.Popen",
    "ag2.events.base.operator.methodcaller",
    "ag2.knowledge.SqliteKnowledgeStore",
    "ag2.agent.Agent",
    "ag2.testing.TestConfig",
    "builtins.eval",
    "builtins.SystemExit",
    "antigravity.anything",
]


@pytest.mark.parametrize("tag", ["event", "dataclass", "model", "enum", "exception"])
@pytest.mark.parametrize("name", ATTACKS)
def test_nothing_is_made_or_imported_because_stored_data_names_it(name: str, tag: str) -> None:
    inner = {"$type": tag, "value": {"class": name, "data": {"args": "true"}}}
    outer = {"class": "ag2.events.input_events.DataInput", "data": {"data": inner}}
    event = codec.read({"$type": "event", "value": outer})
    assert type(event) is DataInput
    found: Any = event.data
    assert type(found) in (dict, UnknownEvent, Exception)
    assert "antigravity" not in sys.modules


def test_fields_that_an_event_does_not_declare_are_not_set() -> None:
    data = {"content": "x", "__class__": "y", "to_dict": "z", "_private": 1}
    name = "ag2.events.types.ModelMessage"
    event = codec.read({"$type": "event", "value": {"class": name, "data": data}})
    assert event == ModelMessage("x")
    assert not {"to_dict", "_private"} & set(vars(event))


@pytest.mark.parametrize(
    "stored",
    [
        "text",
        {"$type": "event", "value": "text"},
        {"$type": "event", "value": {"class": "x"}},
        {"$type": "eval", "value": {"class": "x", "data": {}}},
        {"$type": "bytes", "value": "aGk="},
    ],
)
def test_what_is_no_event_is_refused(stored: Any) -> None:
    with pytest.raises(InvalidValue, match="history"):
        codec.read(json.loads(json.dumps(stored)))
