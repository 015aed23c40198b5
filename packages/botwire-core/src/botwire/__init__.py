"""BotWire: persistent key-value memory for agents.

>>> from botwire import Memory
>>> memory = Memory("agent-1", url="memory://")
>>> _ = memory.set("name", "Ada")
>>> memory.get("name")
'Ada'
"""

from typing import Any

from botwire.async_memory import AsyncMemory
from botwire.errors import BotWireError, Conflict, QuotaExceeded
from botwire.memory import Memory
from botwire.operations import Entry, Page

__version__ = "0.3.0"
__all__ = [
    "AsyncMemory",
    "BotWireError",
    "Conflict",
    "Entry",
    "Memory",
    "Page",
    "QuotaExceeded",
]


def __getattr__(name: str) -> Any:
    """`from botwire import BotWireChatHistory` works once the LangChain adapter is installed."""
    if name != "BotWireChatHistory":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from botwire.adapters import load

    return load("botwire_langchain", name, extra="langchain")
