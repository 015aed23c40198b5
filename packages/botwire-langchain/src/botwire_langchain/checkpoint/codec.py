"""Python values as text in JSON, through LangGraph's serializer: strict unless told otherwise."""

import marshal
from binascii import a2b_base64, b2a_base64
from collections.abc import Iterable, Sequence
from operator import attrgetter
from struct import pack
from typing import Any

from langchain_core.messages import BaseMessage
from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from ormsgpack import (
    OPT_PASSTHROUGH_DATACLASS,
    OPT_PASSTHROUGH_DATETIME,
    OPT_PASSTHROUGH_ENUM,
    OPT_PASSTHROUGH_SUBCLASS,
    OPT_PASSTHROUGH_TUPLE,
    OPT_PASSTHROUGH_UUID,
    packb,
)

from botwire_langchain.checkpoint.messages import KINDS, Reader

__all__ = ["Codec", "strict_serializer"]

USUAL = "msgpack"
LIST = b"\xdd"  # how a list begins in MessagePack; the number of its items follows
EXACT = (  # refuses what it would pack as if it were something else
    OPT_PASSTHROUGH_DATACLASS
    | OPT_PASSTHROUGH_DATETIME
    | OPT_PASSTHROUGH_ENUM
    | OPT_PASSTHROUGH_SUBCLASS
    | OPT_PASSTHROUGH_TUPLE
    | OPT_PASSTHROUGH_UUID
)
MESSAGES = frozenset(kind for kind, _ in KINDS.values())
MARSHAL_FORMAT = 2  # later ones depend on what else refers to an object, not on its value alone

_fields = attrgetter("__dict__")
_extra = attrgetter("__pydantic_extra__")


def strict_serializer(allow: Iterable[type | tuple[str, str]] = ()) -> JsonPlusSerializer:
    """LangGraph's serializer, building only LangChain's, LangGraph's, plain and these types.

    Without this LangGraph rebuilds whatever class a checkpoint names (CVE-2026-28277).
    """
    return JsonPlusSerializer(allowed_msgpack_modules=tuple(allow) or None)


class Codec:
    """Packs values with a serializer. The text is base64, with the type in front if unusual."""

    def __init__(self, serde: SerializerProtocol) -> None:
        self._dump, self._load = serde.dumps_typed, serde.loads_typed
        # What another serializer makes of its bytes is its own affair.
        self._read = Reader(serde.loads_typed) if type(serde) is JsonPlusSerializer else None

    def pack(self, value: Any) -> str:
        kind, data = self._dump(value)
        text = b2a_base64(data, newline=False).decode()
        return text if kind == USUAL else f"{kind}:{text}"

    def load(self, text: str) -> Any:
        """The value that was packed."""
        kind, found, data = text.rpartition(":")
        if self._read is not None and not found:
            return self._read(a2b_base64(data))
        return self._load((kind if found else USUAL, a2b_base64(data)))

    def load_all(self, texts: Sequence[str]) -> list[Any]:
        """The values that were packed; reading them as one list is quicker than one by one."""
        if self._read is None or any(":" in text for text in texts):
            return list(map(self.load, texts))
        return self._read(LIST + pack(">I", len(texts)) + b"".join(map(a2b_base64, texts)))

    def fingerprint(self, values: Sequence[Any]) -> int:
        """A number that tells these values from others and from what they were before a change.

        It holds in this process only. Messages and plain data are packed without what it takes to
        build them again, which is many times quicker and sees every field.
        """
        kinds = tuple(map(type, values))
        if MESSAGES.issuperset(kinds):  # most lists: no need to ask of each what it is
            states = [list(map(_fields, values)), list(map(_extra, values))]
        else:
            states = list(map(_state, values))
        try:
            return hash((kinds, packb(states, None, EXACT)))
        except TypeError:  # there is something else in one of them
            return hash((kinds, tuple(map(self._slow_fingerprint, values))))

    def _slow_fingerprint(self, value: Any) -> int:
        try:
            return hash(marshal.dumps(_state(value), MARSHAL_FORMAT))
        except ValueError:  # nor can that be marshalled
            return hash(self.pack(value))


def _state(value: Any) -> Any:
    return [_fields(value), _extra(value)] if isinstance(value, BaseMessage) else value
