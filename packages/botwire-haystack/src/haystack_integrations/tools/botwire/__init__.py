"""Tools with which a model uses memory."""

from haystack_integrations.tools.botwire.results import BotWireToolResultReader
from haystack_integrations.tools.botwire.toolset import BotWireToolset

__all__ = ["BotWireToolResultReader", "BotWireToolset"]
