"""BotWire memory for AutoGen and AG2."""
