"""BotWire for LangChain and LangGraph: what agents remember, with no database of one's own."""

from botwire_langchain.byte_store import BotWireByteStore
from botwire_langchain.chat_history import BotWireChatHistory
from botwire_langchain.checkpoint import BotWireSaver, StaleWriteOwner
from botwire_langchain.llm_cache import BotWireCache
from botwire_langchain.node_cache import BotWireNodeCache
from botwire_langchain.record_manager import BotWireRecordManager
from botwire_langchain.store import BotWireStore

__all__ = [
    "BotWireByteStore",
    "BotWireCache",
    "BotWireChatHistory",
    "BotWireNodeCache",
    "BotWireRecordManager",
    "BotWireSaver",
    "BotWireStore",
    "StaleWriteOwner",
]
