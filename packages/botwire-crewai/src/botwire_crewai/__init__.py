"""BotWire memory for CrewAI: what a crew or flow remembers survives restarts and crosses machines.

Nothing here imports crewai before it is used: crewai takes seconds and 175 MB.

>>> from botwire_crewai import memory_tools
"""

from typing import TYPE_CHECKING

from botwire.adapters import lazy

if TYPE_CHECKING:
    from botwire_crewai.cache import BotWireCacheHandler
    from botwire_crewai.checkpoints import BotWireCheckpointProvider
    from botwire_crewai.flows import BotWireFlowPersistence
    from botwire_crewai.locks import botwire_lock_backend
    from botwire_crewai.memory import BotWireMemory, register_botwire
    from botwire_crewai.storage import BotWireStorage
    from botwire_crewai.tools import memory_tools

__all__ = [
    "BotWireCacheHandler",
    "BotWireCheckpointProvider",
    "BotWireFlowPersistence",
    "BotWireMemory",
    "BotWireStorage",
    "botwire_lock_backend",
    "memory_tools",
    "register_botwire",
]

_ROOMS = {
    "BotWireCacheHandler": "cache",
    "BotWireCheckpointProvider": "checkpoints",
    "BotWireFlowPersistence": "flows",
    "BotWireMemory": "memory",
    "BotWireStorage": "storage",
    "botwire_lock_backend": "locks",
    "memory_tools": "tools",
    "register_botwire": "memory",
}
__getattr__, __dir__ = lazy(__name__, _ROOMS)
