"""How an error of the memory reaches an agent: as a `ToolFailure`, never as an exception.

In text style CrewAI runs a tool that raises six times; a failure that is returned it reads once.
"""

from typing import Any

from botwire import BotWireError

try:
    from crewai.tools import ToolFailure
except ImportError:  # crewai before 1.15.10
    ToolFailure = None

__all__ = ["failure"]


def failure(error: BotWireError) -> Any:
    """What a tool returns for this error: a `ToolFailure`, or a sentence where crewai has none."""
    if ToolFailure is None:
        return f"{error} (code: {error.code})"
    return ToolFailure(message=str(error), code=error.code, retryable=error.retryable)
