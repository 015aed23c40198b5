"""Components that save what is to be remembered."""

from haystack_integrations.components.writers.botwire.chat_messages import BotWireChatMessageWriter
from haystack_integrations.components.writers.botwire.key_values import BotWireKeyValueWriter
from haystack_integrations.components.writers.botwire.memories import BotWireMemoryWriter

__all__ = ["BotWireChatMessageWriter", "BotWireKeyValueWriter", "BotWireMemoryWriter"]
