"""BotWire memory inside Humanloop flows."""
