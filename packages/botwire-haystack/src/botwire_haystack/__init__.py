"""BotWire memory for Haystack, under one name; the classes live in haystack_integrations."""

from haystack_integrations.chat_message_stores.botwire import BotWireChatMessageStore
from haystack_integrations.components.caching.botwire import BotWireCache, BotWireCacheWriter
from haystack_integrations.components.retrievers.botwire import (
    BotWireChatMessageRetriever,
    BotWireKeyValueReader,
    BotWireMemoryRetriever,
)
from haystack_integrations.components.writers.botwire import (
    BotWireChatMessageWriter,
    BotWireKeyValueWriter,
    BotWireMemoryWriter,
)
from haystack_integrations.hooks.botwire import (
    BotWireCheckpointHook,
    BotWireHistoryHook,
    agent_hooks,
)
from haystack_integrations.memory_stores.botwire import BotWireMemoryStore
from haystack_integrations.snapshots.botwire import BotWireSnapshotStore
from haystack_integrations.tool_result_stores.botwire import BotWireToolResultStore
from haystack_integrations.tools.botwire import BotWireToolResultReader, BotWireToolset

__all__ = [
    "BotWireCache",
    "BotWireCacheWriter",
    "BotWireChatMessageRetriever",
    "BotWireChatMessageStore",
    "BotWireChatMessageWriter",
    "BotWireCheckpointHook",
    "BotWireHistoryHook",
    "BotWireKeyValueReader",
    "BotWireKeyValueWriter",
    "BotWireMemoryRetriever",
    "BotWireMemoryStore",
    "BotWireMemoryWriter",
    "BotWireSnapshotStore",
    "BotWireToolResultReader",
    "BotWireToolResultStore",
    "BotWireToolset",
    "agent_hooks",
]
