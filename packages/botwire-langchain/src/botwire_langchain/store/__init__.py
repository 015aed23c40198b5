"""LangGraph's long-term store on BotWire."""

from botwire_langchain.store.store import BotWireStore

__all__ = ["BotWireStore"]
