"""BotWire for LangChain and LangGraph: what agents remember, with no database of one's own."""

from typing import TYPE_CHECKING, Any

from botwire_langchain.agents.tools import create_memory_tools
from botwire_langchain.byte_store import BotWireByteStore
from botwire_langchain.chat_history import BotWireChatHistory
from botwire_langchain.checkpoint import BotWireSaver, StaleWriteOwner
from botwire_langchain.llm_cache import BotWireCache
from botwire_langchain.node_cache import BotWireNodeCache
from botwire_langchain.record_manager import BotWireRecordManager
from botwire_langchain.store import BotWireStore

if TYPE_CHECKING:
    from botwire_langchain.agents.middleware import BotWireMemoryMiddleware

__all__ = [
    "BotWireByteStore",
    "BotWireCache",
    "BotWireChatHistory",
    "BotWireMemoryMiddleware",
    "BotWireNodeCache",
    "BotWireRecordManager",
    "BotWireSaver",
    "BotWireStore",
    "StaleWriteOwner",
    "create_memory_tools",
]


def __getattr__(name: str) -> Any:
    """The middleware needs `langchain`, which brings the whole of LangGraph; nothing else does."""
    if name != "BotWireMemoryMiddleware":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from botwire_langchain.agents.middleware import BotWireMemoryMiddleware
    except ModuleNotFoundError as error:
        if str(error.name).partition(".")[0] not in ("langchain", "langgraph"):
            raise
        raise ImportError(
            f"{name} needs langchain: pip install 'botwire-langchain[langchain]'"
        ) from error
    return BotWireMemoryMiddleware
