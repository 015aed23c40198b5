"""BotWire memory for LangChain and LangGraph."""
