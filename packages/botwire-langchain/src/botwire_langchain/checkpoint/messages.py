"""Messages from what was stored of them, in a third of the time their constructors take.

A thread is mostly messages, and LangGraph's serializer calls a constructor for each. That checks
again what was checked when the message was first made, and takes longer than all else of a read.
Here a message gets its stored fields back as they are, the way pickle does it.
"""

from collections.abc import Callable, Mapping
from typing import Any

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langgraph.checkpoint.serde.jsonplus import EXT_PYDANTIC_V2
from ormsgpack import OPT_NON_STR_KEYS, Ext, packb, unpackb

__all__ = ["KINDS", "Reader"]

# Those whose constructors do nothing but check; that of a chunk, say, parses, too.
KINDS: Mapping[str, tuple[type[BaseMessage], frozenset[str]]] = {
    kind.__name__: (kind, frozenset(kind.model_fields))
    for kind in (AIMessage, HumanMessage, SystemMessage, ToolMessage)
}
# LangGraph stores [module, name, fields, ...], and so begins a list of four in MessagePack.
BEGINNINGS = tuple(
    b"\x94" + packb(kind.__module__) + packb(name) for name, (kind, _) in KINDS.items()
)
_set = object.__setattr__  # a message's own one would check


class Reader:
    """Reads MessagePack as `load` (of LangGraph's own serializer) does, and messages quicker."""

    __slots__ = ("_load",)

    def __init__(self, load: Callable[[tuple[str, bytes]], Any]) -> None:
        self._load = load

    def __call__(self, data: bytes) -> Any:
        return unpackb(data, ext_hook=self._object, option=OPT_NON_STR_KEYS)

    def _object(self, code: int, data: bytes) -> Any:
        if code == EXT_PYDANTIC_V2 and data.startswith(BEGINNINGS):
            _, name, fields, _ = self(data)
            kind, names = KINDS[name]
            # Another version of LangChain may have had other fields, and users add some.
            if fields.keys() == names:
                return _restored(kind, fields)
        return self._load(("msgpack", packb(Ext(code, data))))


def _restored(kind: type[BaseMessage], fields: dict[str, Any]) -> BaseMessage:
    message = kind.__new__(kind)
    _set(message, "__dict__", fields)
    _set(message, "__pydantic_fields_set__", set(fields))
    _set(message, "__pydantic_extra__", {})
    _set(message, "__pydantic_private__", None)
    return message
