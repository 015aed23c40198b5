"""Haystack's objects as JSON and back.

- What is JSON comes back equal. In a message's meta (and a document's), what is not JSON but has
  an obvious JSON form takes it: a date becomes ISO text, a pydantic model its fields, a tuple a
  list. Anything else is refused with the path to it before anything is sent; nothing is left out.
- A dataclass of Haystack's inside a value is stored as `{"$haystack": type, "data": ...}`. Only
  types of `haystack.dataclasses` are rebuilt: a model may have written what is read here.
"""

from dataclasses import replace
from typing import Any, cast
from uuid import uuid4

from haystack.core.serialization import generate_qualified_class_name, import_class_by_name
from haystack.dataclasses import ChatMessage, Document, ToolCallResult
from pydantic_core import PydanticSerializationError, to_jsonable_python

from botwire.errors import InvalidValue
from botwire.jsontext import Json, decode, encode

__all__ = [
    "MESSAGE_ID",
    "as_json",
    "identified",
    "message_id",
    "message_json",
    "message_of",
    "pack",
    "segment",
    "unpack",
    "unsegment",
]

MESSAGE_ID = "chat_message_id"  # the name Haystack's experimental stores used, so ids carry over
TAG = "$haystack"
HOME = "haystack.dataclasses."


def segment(name: str) -> str:
    """A name as one segment of a key, so that no name can reach into another one's keys.

    >>> segment("team/ada")
    'team%2Fada'
    """
    return name.replace("%", "%25").replace("/", "%2F")


def unsegment(text: str) -> str:
    """The name that became this segment."""
    return text.replace("%2F", "/").replace("%25", "%")


def as_json(data: Any) -> Json:
    """The JSON text of plain data in which dates, models and the like take their JSON form."""
    try:
        return encode(data)
    except InvalidValue as refused:
        try:
            plain = to_jsonable_python(data, by_alias=True)
        except (PydanticSerializationError, UnicodeEncodeError):
            raise refused from None
        return encode(plain)


def message_json(message: ChatMessage) -> Json:
    """A message as JSON text, whole.

    >>> message_json(ChatMessage.from_user("hi"))
    '{"role":"user","meta":{},"name":null,"content":[{"text":"hi"}]}'
    """
    content = [_listed(part) for part in cast("Any", message)._content]
    return as_json(replace(message, _content=content).to_dict())


def _listed(part: Any) -> Any:
    """Tool results may be any sequence of parts; `to_dict` writes only lists of them rightly."""
    if isinstance(part, ToolCallResult) and not isinstance(part.result, (str, list)):
        return replace(part, result=list(part.result))
    return part


def message_of(data: dict[str, Any]) -> ChatMessage:
    """The message that was stored as this."""
    return ChatMessage.from_dict(data)


def message_id(message: ChatMessage) -> str | None:
    """The id a message was stored under (or given by its author), None if it has none."""
    found = message.meta.get(MESSAGE_ID)
    return None if found is None else str(found)


def identified(message: ChatMessage) -> ChatMessage:
    """The message with an id: its own, or a new one that no other message has."""
    if message_id(message) is not None:
        return message
    return replace(message, _meta={**message.meta, MESSAGE_ID: uuid4().hex})


def pack(value: Any) -> Any:
    """A value as JSON data; Haystack's dataclasses in it are tagged, so that `unpack` finds them.

    >>> unpack(pack([ChatMessage.from_user("hi")]))[0].text
    'hi'
    """
    if isinstance(value, dict):
        members = {name: pack(part) for name, part in cast("dict[Any, Any]", value).items()}
        return {TAG: "dict", "data": members} if TAG in members else members
    if isinstance(value, list):
        return [pack(part) for part in cast("list[Any]", value)]
    kind = generate_qualified_class_name(cast("type[object]", type(value)))
    if kind.startswith(HOME) and hasattr(value, "to_dict"):
        return {TAG: kind, "data": decode(_object_json(value))}
    return value


def _object_json(value: Any) -> Json:
    if isinstance(value, ChatMessage):
        return message_json(value)
    if isinstance(value, Document):
        return as_json(value.to_dict(flatten=False))
    return as_json(value.to_dict())


def unpack(data: Any) -> Any:
    """The value that `pack` made this of."""
    if isinstance(data, list):
        return [unpack(part) for part in cast("list[Any]", data)]
    if not isinstance(data, dict):
        return data
    members = cast("dict[str, Any]", data)
    kind = members.get(TAG)
    if members.keys() == {TAG, "data"} and kind == "dict" and isinstance(members["data"], dict):
        members = cast("dict[str, Any]", members["data"])
    elif members.keys() == {TAG, "data"} and isinstance(kind, str) and kind.startswith(HOME):
        return cast("Any", import_class_by_name(kind)).from_dict(members["data"])
    return {name: unpack(part) for name, part in members.items()}
