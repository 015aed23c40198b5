"""Everything a message can hold comes back equal, from the store and from a memory value."""

import base64
import re
import tempfile
from typing import Any

from haystack import Document
from haystack.dataclasses import (
    ByteStream,
    ChatMessage,
    ChatRole,
    FileContent,
    ImageContent,
    ReasoningContent,
    SparseEmbedding,
    TextContent,
    ToolCall,
    ToolCallResult,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from botwire.jsontext import decode, encode
from haystack_integrations.chat_message_stores.botwire import BotWireChatMessageStore
from haystack_integrations.common.botwire import pack, unpack

pair_of_halves = re.compile("[\ud800-\udbff][\udc00-\udfff]")  # refused: JSON would join them
# Lone surrogates and NUL included.
text = st.text(st.characters(), max_size=20).filter(lambda text: not pair_of_halves.search(text))
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(
    text.filter(lambda name: name != "chat_message_id"), json_values, max_size=3
)
encoded = st.binary(max_size=30).map(lambda data: base64.b64encode(data).decode())
texts_ = st.builds(TextContent, text)
calls = st.builds(ToolCall, text, objects, st.none() | text, st.none() | objects)
images = st.builds(
    ImageContent,
    encoded,
    st.sampled_from(["image/png", "image/jpeg"]),
    st.sampled_from([None, "auto", "high"]),
    objects,
    st.booleans(),
)
files = st.builds(FileContent, encoded, st.just("application/pdf"), st.none() | text, objects)
results = st.builds(
    ToolCallResult, text | st.lists(texts_ | images | files, max_size=3), calls, st.booleans()
)
parts = texts_ | calls | results | images | files | st.builds(ReasoningContent, text, objects)
messages = st.builds(
    ChatMessage,
    st.sampled_from(ChatRole),
    st.lists(parts, max_size=4),
    st.none() | text,
    objects,
)


def without_id(message: ChatMessage) -> dict[str, Any]:
    data = message.to_dict()
    return data | {"meta": {k: v for k, v in data["meta"].items() if k != "chat_message_id"}}


@settings(max_examples=60, deadline=None)
@given(st.lists(messages, max_size=6))
def test_every_content_type_survives_the_store(spoken: list[ChatMessage]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = BotWireChatMessageStore("property", url=f"sqlite:///{folder}/memory.db")
        assert store.write_messages("c", spoken) == len(spoken)
        found = store.retrieve_messages("c")
        store.close()
    assert [without_id(message) for message in found] == [without_id(m) for m in spoken]
    assert [m.role for m in found] == [m.role for m in spoken]
    assert len({message.meta["chat_message_id"] for message in found}) == len(spoken)


documents = st.builds(
    Document,
    id=st.uuids().map(str),  # Haystack makes one only of text that is UTF-8
    content=st.none() | text,
    meta=objects,
    score=st.none() | st.floats(0, 1),
    embedding=st.none() | st.lists(st.floats(-1, 1), max_size=3),
    blob=st.none() | st.builds(ByteStream, st.binary(max_size=9), objects, st.none() | text),
    sparse_embedding=st.none() | st.just(SparseEmbedding([1, 2], [0.5, 0.25])),
)
tagged = st.fixed_dictionaries({"$haystack": json_values}, optional={"data": json_values})
values = st.recursive(
    json_values | messages | documents | tagged,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=100, deadline=None)
@given(values)
def test_values_with_messages_and_documents_in_them_survive_as_json(value: Any) -> None:
    assert unpack(decode(encode(pack(value)))) == value


def test_only_plain_data_of_haystack_is_rebuilt() -> None:
    """What is read may have been written by a model: it must not choose which code runs."""
    kind = "haystack.components.generators.chat.MockChatGenerator"
    data = {"$haystack": kind, "data": {"type": kind, "init_parameters": {}}}
    assert unpack(data) == data
