"""LangChain's messages as JSON and back, with every field; nothing is imported by name to read one.

A message is written as `message_to_dict` gives it. What JSON has no words for (bytes, a date in the
metadata) is tagged, see `plain.py`; the data is then called "$data".
"""

from collections.abc import Iterable
from typing import Any

from langchain_core.messages import BaseMessage, message_to_dict, messages_from_dict

from botwire.errors import InvalidRequest
from botwire.jsontext import Json, decode
from botwire_langchain.plain import untag, wrap

__all__ = ["message_record", "message_text", "read_messages"]

_MESSAGES = {"human", "ai", "system", "chat", "function", "tool", "remove"}
_CHUNKS = {f"{kind}MessageChunk" for kind in ("AI", "Human", "System", "Chat", "Function", "Tool")}
KINDS = _MESSAGES | _CHUNKS


def message_text(message: BaseMessage) -> Json:
    """A message as JSON text.

    Raises:
        InvalidRequest: a message of a class that could not be read back.
        InvalidValue: a field holds an object that is not data.
    """
    if message.type not in KINDS:
        raise InvalidRequest(
            f"a message of type {message.type!r} ({type(message).__name__}) cannot be read back",
            hint="Use the message classes of langchain_core.messages.",
        )
    return wrap(message_to_dict(message), "data")


def message_record(message: BaseMessage) -> dict[str, Any]:
    """A message as plain data."""
    return decode(message_text(message))


def read_messages(records: Iterable[dict[str, Any]]) -> list[BaseMessage]:
    """The messages of such data."""
    return messages_from_dict(list(map(_plain, records)))


def _plain(record: dict[str, Any]) -> dict[str, Any]:
    if "$data" not in record:
        return record
    return {"type": record["type"], "data": untag(record["$data"])}
