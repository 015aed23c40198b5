"""BotWire operations as tools in AgentOps, and decorators for what calls them.

    import agentops, botwire_agentops

    agentops.init()
    botwire_agentops.instrument()

Nothing here prints: AgentOps replaces `print` and uploads what is printed.
"""

from botwire_agentops.checks import Problem, check
from botwire_agentops.recorded import record_action, record_function, record_tool
from botwire_agentops.shape import instrument, uninstrument

__all__ = [
    "Problem",
    "check",
    "instrument",
    "record_action",
    "record_function",
    "record_tool",
    "uninstrument",
]
