"""BotWire memory for CrewAI."""
