"""BotWire memory for AutoGen and AG2: what agents and teams remember survives restarts.

`botwire_autogen.ag2` is for AG2 1.x, `botwire_autogen.classic` for AG2 Classic. Nothing is
imported before it is used, so neither drags in the frameworks of the others.

>>> from botwire_autogen import BotWireMemory
"""

from typing import TYPE_CHECKING

from botwire.adapters import lazy

if TYPE_CHECKING:
    from botwire_autogen.cache import BotWireCacheStore
    from botwire_autogen.context import BotWireChatCompletionContext
    from botwire_autogen.memory import BotWireMemory
    from botwire_autogen.remembered import Remembered
    from botwire_autogen.team import load_team, save_team
    from botwire_autogen.tools import (
        ForgetTool,
        ListMemoryTool,
        RecallTool,
        RememberTool,
        SearchMemoryTool,
        memory_tools,
    )
    from botwire_autogen.workbench import BotWireWorkbench

__all__ = [
    "BotWireCacheStore",
    "BotWireChatCompletionContext",
    "BotWireMemory",
    "BotWireWorkbench",
    "ForgetTool",
    "ListMemoryTool",
    "RecallTool",
    "RememberTool",
    "Remembered",
    "SearchMemoryTool",
    "load_team",
    "memory_tools",
    "save_team",
]

_ROOMS = {
    "BotWireCacheStore": "cache",
    "BotWireChatCompletionContext": "context",
    "BotWireMemory": "memory",
    "BotWireWorkbench": "workbench",
    "ForgetTool": "tools",
    "ListMemoryTool": "tools",
    "RecallTool": "tools",
    "RememberTool": "tools",
    "Remembered": "remembered",
    "SearchMemoryTool": "tools",
    "load_team": "team",
    "memory_tools": "tools",
    "save_team": "team",
}
__getattr__, __dir__ = lazy(__name__, _ROOMS)
