"""BotWire for LangChain and LangGraph: what agents remember, with no database of one's own."""

from botwire_langchain.chat_history import BotWireChatHistory

__all__ = ["BotWireChatHistory"]
