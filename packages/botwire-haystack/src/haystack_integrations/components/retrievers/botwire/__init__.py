"""Components that load what was remembered."""

from haystack_integrations.components.retrievers.botwire.chat_messages import (
    BotWireChatMessageRetriever,
)
from haystack_integrations.components.retrievers.botwire.key_values import BotWireKeyValueReader
from haystack_integrations.components.retrievers.botwire.memories import BotWireMemoryRetriever

__all__ = ["BotWireChatMessageRetriever", "BotWireKeyValueReader", "BotWireMemoryRetriever"]
