"""BotWire for AG2 1.x: histories, knowledge, checkpoints, locks and tools that outlive processes.

Every class takes the name of a namespace, or an `AsyncMemory` where an address or a key is needed.
Importing this imports AG2, which takes its time, only for the parts that need it.

>>> from botwire_autogen.ag2 import BotWireStorage
>>> stream = BotWireStorage("ada").stream("chat-1")
"""

from importlib.util import find_spec
from typing import TYPE_CHECKING

from botwire.adapters import lazy

if find_spec("ag2") is None:
    raise ImportError("AG2 is not installed: pip install 'botwire-autogen[ag2]'")

if TYPE_CHECKING:
    from botwire_autogen.ag2.checkpoints import BotWireCheckpointStore
    from botwire_autogen.ag2.history import BotWireStorage, finish_turn, stream_id
    from botwire_autogen.ag2.knowledge import BotWireKnowledgeStore
    from botwire_autogen.ag2.lock import BotWireLock
    from botwire_autogen.ag2.toolkit import memory_toolkit

__all__ = [
    "BotWireCheckpointStore",
    "BotWireKnowledgeStore",
    "BotWireLock",
    "BotWireStorage",
    "finish_turn",
    "memory_toolkit",
    "stream_id",
]

_ROOMS = {
    "BotWireCheckpointStore": "checkpoints",
    "BotWireKnowledgeStore": "knowledge",
    "BotWireLock": "lock",
    "BotWireStorage": "history",
    "finish_turn": "history",
    "memory_toolkit": "toolkit",
    "stream_id": "history",
}
__getattr__, __dir__ = lazy(__name__, _ROOMS)
