"""LangGraph checkpoints on BotWire. Read `layout.py` first: it says what is kept where, and why."""

from botwire_langchain.checkpoint.guard import StaleWriteOwner
from botwire_langchain.checkpoint.saver import BotWireSaver

__all__ = ["BotWireSaver", "StaleWriteOwner"]
