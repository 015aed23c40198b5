"""BotWire operations as Langfuse observations."""
