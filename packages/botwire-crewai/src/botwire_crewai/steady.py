"""CrewAI's record of events, written whole while more events come in.

CrewAI writes a checkpoint in a thread beside what runs, and goes through its record of events
without the lock that adding to it takes. When an event comes meanwhile, pydantic panics, with an
exception that is no `Exception` and passes all of CrewAI's handlers: the checkpoint is missing, and
a flow's `kickoff` fails after its last method has run. The checkpoint's provider is asked too late
to help, so the record itself learns to be written from a copy.
"""

from typing import Any

from crewai.state.event_record import EventNode, EventRecord
from pydantic import BaseModel

__all__ = ["steady_records"]


def steady_records() -> None:
    """Let records of events be written at any time, in this process, where CrewAI does not."""
    known = "nodes" in EventRecord.model_fields and "_lock" in EventRecord.__private_attributes__
    if known and EventRecord.model_dump is BaseModel.model_dump:
        # It takes all options, whichever they are.
        EventRecord.model_dump = _dump_of_a_copy  # pyright: ignore[reportAttributeAccessIssue]


def _dump_of_a_copy(self: EventRecord, **how: Any) -> dict[str, Any]:
    # The lock is not held while events are written: one that emits another would wait for itself.
    with self._lock.r_locked():  # pyright: ignore[reportPrivateUsage]
        nodes = {name: _copy(node) for name, node in self.nodes.items()}
    return BaseModel.model_dump(EventRecord.model_construct(nodes=nodes), **how)


def _copy(node: EventNode) -> EventNode:
    edges = {kind: [*others] for kind, others in node.edges.items()}
    return EventNode.model_construct(event=node.event, edges=edges)
