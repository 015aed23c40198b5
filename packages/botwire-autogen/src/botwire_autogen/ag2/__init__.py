"""BotWire for AG2 1.x: histories, knowledge, checkpoints, locks and tools that outlive processes.

Every class takes the name of a namespace, or an `AsyncMemory` where an address or a key is needed.

>>> from botwire_autogen.ag2 import BotWireStorage
>>> stream = BotWireStorage("ada").stream("chat-1")
"""

try:
    import ag2  # noqa: F401  # pyright: ignore[reportUnusedImport]  only whether it is there
except ModuleNotFoundError as error:
    if error.name != "ag2":
        raise
    raise ImportError("AG2 is not installed: pip install 'botwire-autogen[ag2]'") from error

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
