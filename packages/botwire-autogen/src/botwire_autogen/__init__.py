"""BotWire memory for AutoGen and AG2: what agents and teams remember survives restarts.

`botwire_autogen.ag2` is for AG2 1.x, `botwire_autogen.classic` for AG2 Classic. Nothing is
imported before it is used, so neither drags in the frameworks of the others.

>>> from botwire_autogen import BotWireMemory
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from botwire_autogen.context import BotWireChatCompletionContext
    from botwire_autogen.memory import BotWireMemory
    from botwire_autogen.remembered import Remembered
    from botwire_autogen.team import load_team, save_team

__all__ = [
    "BotWireChatCompletionContext",
    "BotWireMemory",
    "Remembered",
    "load_team",
    "save_team",
]

_ROOMS = {
    "BotWireChatCompletionContext": "context",
    "BotWireMemory": "memory",
    "Remembered": "remembered",
    "load_team": "team",
    "save_team": "team",
}


def __getattr__(name: str) -> Any:
    room = _ROOMS.get(name)
    if room is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{room}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
