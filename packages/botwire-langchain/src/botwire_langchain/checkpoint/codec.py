"""Python values as text in JSON, through LangGraph's serializer: strict unless told otherwise."""

import marshal
from binascii import a2b_base64, b2a_base64
from collections.abc import Iterable, Sequence
from struct import pack
from typing import Any, cast

from langchain_core.messages import BaseMessage
from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

__all__ = ["Codec", "strict_serializer"]

USUAL = "msgpack"
LIST = b"\xdd"  # how a list begins in MessagePack; the number of its items follows
MARSHAL_FORMAT = 2  # later ones depend on what else refers to an object, not on its value alone


def strict_serializer(allow: Iterable[type | tuple[str, str]] = ()) -> JsonPlusSerializer:
    """LangGraph's serializer, building only LangChain's, LangGraph's, plain and these types.

    Without this LangGraph rebuilds whatever class a checkpoint names (CVE-2026-28277).
    """
    return JsonPlusSerializer(allowed_msgpack_modules=tuple(allow) or None)


class Codec:
    """Packs values with a serializer. The text is base64, with the type in front if unusual."""

    def __init__(self, serde: SerializerProtocol) -> None:
        self._dump, self._load = serde.dumps_typed, serde.loads_typed
        self._joins = type(serde) is JsonPlusSerializer  # which surely writes MessagePack

    def pack(self, value: Any) -> str:
        kind, data = self._dump(value)
        text = b2a_base64(data, newline=False).decode()
        return text if kind == USUAL else f"{kind}:{text}"

    def load(self, text: str) -> Any:
        """The value that was packed."""
        kind, found, data = text.rpartition(":")
        return self._load((kind if found else USUAL, a2b_base64(data)))

    def load_all(self, texts: Sequence[str]) -> list[Any]:
        """The values that were packed; reading them as one list is quicker than one by one."""
        if not self._joins or any(":" in text for text in texts):
            return list(map(self.load, texts))
        return self._load((USUAL, LIST + pack(">I", len(texts)) + b"".join(map(a2b_base64, texts))))

    def fingerprint(self, value: Any) -> int:
        """A number that tells a value from others and from what it was before it was changed.

        It holds in this process only. Messages and plain data are marshalled, which is several
        times quicker than packing them and sees every field; for the rest, packing is the way.
        """
        state = _message_state(value) if isinstance(value, BaseMessage) else value
        try:
            return hash(marshal.dumps(state, MARSHAL_FORMAT))
        except ValueError:  # something in it cannot be marshalled
            return hash(self.pack(value))


def _message_state(message: BaseMessage) -> tuple[int, dict[str, Any], dict[str, Any] | None]:
    return id(type(message)), vars(message), cast("Any", message).__pydantic_extra__
