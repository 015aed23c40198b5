"""BotWire operations as Langfuse observations.

    import botwire_langfuse

    botwire_langfuse.instrument()

From then on every operation on a memory is an observation where it happens: below the function
that `@observe` watches, the LangChain run that Langfuse's `CallbackHandler` follows, or alone.
"""

from botwire_langfuse.observations import instrument, uninstrument
from botwire_langfuse.traced import traced_memory

__all__ = ["instrument", "traced_memory", "uninstrument"]
