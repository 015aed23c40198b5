"""`BotWireFlowPersistence`: the state of flows, for `@persist` and `Flow(persistence=)`.

- The current state is one entry and is replaced under the version this run has seen: of two runs
  of one flow, the second to save gets an error instead of wiping out what the first one saved.
- The latest states are kept as a bounded list beside it.
- A flow that waits for a human is one more entry, written with its state in one step.

Keys: `state/<flow>`, `history/<flow>`, `pending/<flow>`.
"""

from datetime import UTC, datetime
from typing import Any, Literal, Self

from crewai.flow.async_feedback.types import PendingFeedbackContext
from crewai.flow.persistence import FlowPersistence
from pydantic import BaseModel, PrivateAttr

from botwire import Entry, Memory
from botwire.jsontext import Json, encode
from botwire.operations import MISSING, Append, Batch, Get, Operation, Read, Set
from botwire_crewai.place import ApiKey, Url, open_memory
from botwire_crewai.plain import plain, without_secrets
from botwire_crewai.seen import Sightings

__all__ = ["BotWireFlowPersistence"]

STATE, HISTORY, PENDING = "state/", "history/", "pending/"


class BotWireFlowPersistence(FlowPersistence):
    """Keeps flow states in BotWire.

    Args:
        namespace: where they are; also as the only positional argument.
        url, api_key, timeout: as for `botwire.Memory`. The key never stands in a checkpoint.
        ttl: seconds a flow is kept after its last save.
        keep: how many of its latest states; 0 keeps the current one only.
        on_conflict: "raise" `botwire.Conflict` (CrewAI fails the flow with it) when somebody else
            saved this flow since this run loaded or saved it; "overwrite" lets the last one win.

    >>> persistence = BotWireFlowPersistence("flows", url="memory://")
    >>> persistence.save_state("flow-1", "begin", {"id": "flow-1", "step": 1})
    >>> persistence.load_state("flow-1")
    {'id': 'flow-1', 'step': 1}
    """

    persistence_type: str = "BotWireFlowPersistence"  # CrewAI restores by class name
    namespace: str
    url: Url = None
    api_key: ApiKey = None
    timeout: float = 30.0
    ttl: float | None = None
    keep: int = 20
    on_conflict: Literal["raise", "overwrite"] = "raise"
    _memory: Memory = PrivateAttr()
    _sightings: Sightings = PrivateAttr(default_factory=Sightings)

    def __init__(self, namespace: str | None = None, /, **settings: Any) -> None:
        super().__init__(**({} if namespace is None else {"namespace": namespace}), **settings)

    def model_post_init(self, context: Any, /) -> None:
        self._memory = open_memory(self.namespace, self.url, self.api_key, self.timeout)

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        return self  # a place, not a value

    def init_db(self) -> None:
        """Nothing to prepare: a namespace exists as soon as something is in it."""

    def save_state(
        self, flow_uuid: str, method_name: str, state_data: dict[str, Any] | BaseModel
    ) -> None:
        """Replace the state of a flow, in one step with its history.

        Raises:
            Conflict: somebody else saved this flow since this run has seen it.
        """
        self._save(flow_uuid, method_name, encode(plain(state_data)))

    def load_state(self, flow_uuid: str) -> dict[str, Any] | None:
        """The current state, or None."""
        entry: Entry | None = self._memory.entry(STATE + flow_uuid)
        self._sightings.loaded(self._place(flow_uuid), entry.version if entry else 0)
        return None if entry is None else entry.value["state"]

    def history(self, flow_uuid: str, count: int = 20) -> list[dict[str, Any]]:
        """The latest states, oldest first, each with its `method` and when it was `saved_at`."""
        return self._memory.tail(HISTORY + flow_uuid, count)

    # -- flows that wait for a human -----------------------------------------------------------

    def save_pending_feedback(
        self,
        flow_uuid: str,
        context: PendingFeedbackContext,
        state_data: dict[str, Any] | BaseModel,
    ) -> None:
        """Save a state and what the flow waits for, in one step.

        Raises:
            Conflict: as for `save_state`.
        """
        waits = encode(without_secrets(plain(context.to_dict())))
        pending = Set(self.namespace, PENDING + flow_uuid, waits, self.ttl)
        self._save(flow_uuid, context.method_name, encode(plain(state_data)), pending)

    def load_pending_feedback(
        self, flow_uuid: str
    ) -> tuple[dict[str, Any], PendingFeedbackContext] | None:
        """The state and what the flow waits for, or None if it waits for nothing."""
        reads = (Read(self.namespace, STATE + flow_uuid), Get(self.namespace, PENDING + flow_uuid))
        entry, waits = self._memory.run(Batch(self.namespace, reads))
        if entry is None or waits is MISSING:
            return None
        self._sightings.loaded(self._place(flow_uuid), entry.version)
        return entry.value["state"], PendingFeedbackContext.from_dict(waits)

    def clear_pending_feedback(self, flow_uuid: str) -> None:
        """The human has answered."""
        self._memory.delete(PENDING + flow_uuid)

    # -- how -----------------------------------------------------------------------------------

    def _place(self, flow_uuid: str) -> tuple[str, str, str]:
        return self._memory.url, self.namespace, flow_uuid

    def _save(self, flow_uuid: str, method_name: str, state: Json, *more: Operation) -> None:
        step = {"method": method_name, "saved_at": datetime.now(UTC).isoformat()}
        entry = Json(f'{encode(step)[:-1]},"state":{state}}}')
        seen = self._sightings.of(self._place(flow_uuid))
        with seen.lock:
            condition = seen.version if self.on_conflict == "raise" else None
            key, log = STATE + flow_uuid, HISTORY + flow_uuid
            operations = [Set(self.namespace, key, entry, self.ttl, if_version=condition), *more]
            if self.keep:
                operations.append(Append(self.namespace, log, (entry,), self.keep, self.ttl))
            seen.version = self._memory.run(Batch(self.namespace, tuple(operations)))[0]
