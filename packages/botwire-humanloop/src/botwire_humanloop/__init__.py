"""Try variants of a prompt, each on its own fork of the same memory; and memory in Humanloop logs.

`iterate` is the workflow that Humanloop was used for, on this machine and without its service.
Everything else is legacy: it logs to the Humanloop SDK 0.8.38, whose hosted service has closed.
"""

from typing import TYPE_CHECKING

from botwire.adapters import lazy
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

# The SDK takes seconds to import.
__getattr__, __dir__ = lazy(
    __name__, dict.fromkeys(("flow", "instrument", "tool", "uninstrument"), "logs")
)
