"""Facts about users, agents and runs that outlive the process."""

from haystack_integrations.memory_stores.botwire.store import BotWireMemoryStore

__all__ = ["BotWireMemoryStore"]
