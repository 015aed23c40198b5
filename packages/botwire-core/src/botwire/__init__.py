"""BotWire: persistent key-value memory for agents.

>>> from botwire import Memory
>>> memory = Memory("agent-1", url="memory://")
>>> _ = memory.set("name", "Ada")
>>> memory.get("name")
'Ada'

Names are loaded when they are first used, so that the command line answers at once.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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

_rooms = {
    "AsyncMemory": "botwire.async_memory",
    "BotWireError": "botwire.errors",
    "Conflict": "botwire.errors",
    "Entry": "botwire.operations",
    "Memory": "botwire.memory",
    "Page": "botwire.operations",
    "QuotaExceeded": "botwire.errors",
}


def __getattr__(name: str) -> Any:
    if name in _rooms:
        value = globals()[name] = getattr(import_module(_rooms[name]), name)
        return value
    if name == "BotWireChatHistory":  # once the LangChain adapter is installed
        from botwire.adapters import load

        return load("botwire_langchain", name, extra="langchain")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *__all__]
