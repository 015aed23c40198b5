"""Large tool results, kept outside the conversation."""

from haystack_integrations.tool_result_stores.botwire.store import BotWireToolResultStore

__all__ = ["BotWireToolResultStore"]
