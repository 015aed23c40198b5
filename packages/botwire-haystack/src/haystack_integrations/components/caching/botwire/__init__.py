"""Documents that need not be fetched or computed again."""

from haystack_integrations.components.caching.botwire.cache import BotWireCache, BotWireCacheWriter

__all__ = ["BotWireCache", "BotWireCacheWriter"]
