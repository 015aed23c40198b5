"""BotWire for LangChain and LangGraph: what agents remember, with no database of one's own."""

from botwire_langchain.chat_history import BotWireChatHistory
from botwire_langchain.checkpoint import BotWireSaver, StaleWriteOwner
from botwire_langchain.store import BotWireStore

__all__ = ["BotWireChatHistory", "BotWireSaver", "BotWireStore", "StaleWriteOwner"]
