"""BotWire operations as AgentOps spans."""
