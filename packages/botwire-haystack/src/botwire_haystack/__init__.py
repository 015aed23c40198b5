"""BotWire memory for Haystack, under one name; the classes live in haystack_integrations."""
