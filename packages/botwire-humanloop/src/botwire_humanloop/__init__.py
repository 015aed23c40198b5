"""Try variants of a prompt, each on its own fork of the same memory; and memory in Humanloop logs.

`iterate` is the workflow that Humanloop was used for, on this machine and without its service.
Everything else is legacy: it logs to the Humanloop SDK 0.8.38, whose hosted service has closed.
"""

from typing import TYPE_CHECKING, Any

from botwire_humanloop.iteration import iterate
from botwire_humanloop.report import Answer, Changes, Report, Variant

if TYPE_CHECKING:
    from botwire_humanloop.logs import flow, instrument, tool, uninstrument

__all__ = [
    "Answer",
    "Changes",
    "Report",
    "Variant",
    "flow",
    "instrument",
    "iterate",
    "tool",
    "uninstrument",
]


def __getattr__(name: str) -> Any:
    """What needs the SDK is imported when it is used: the SDK takes seconds to import."""
    if name not in ("flow", "instrument", "tool", "uninstrument"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from botwire_humanloop import logs

    return getattr(logs, name)
