"""Which version of a flow's state a run has seen, so that it replaces that one and no other.

CrewAI hands a persistence the id of a flow and not the run: several runs of one flow share the
persistence of its class, in one process. What tells them apart is the context they run in: a load
notes there what it saw, and the saves of the same run find it. A run that began without a load
(a new flow) is known by its persistence.
"""

import threading
from collections import OrderedDict
from contextvars import ContextVar

__all__ = ["Seen", "Sightings"]

FLOWS = 10_000  # of a persistence, known by their first save
LOADS = 32  # of a context: a flow within a flow, and so on

Place = tuple[str, str, str]  # address, namespace, flow


class Seen:
    """A version, and the lock of the run that has it: parallel methods save one after another."""

    def __init__(self, version: int | None) -> None:
        self.version = version
        self.lock = threading.Lock()


_loads: ContextVar[tuple[tuple[Place, "Sightings", Seen], ...]] = ContextVar(
    "botwire_loads", default=()
)


class Sightings:
    """What the runs that use one persistence have seen."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._begun: OrderedDict[Place, Seen] = OrderedDict()

    def loaded(self, place: Place, version: int) -> None:
        """This run has read this version (0: there was none)."""
        others = [load for load in _loads.get() if load[0] != place or load[1] is not self]
        _loads.set((*others[1 - LOADS :], (place, self, Seen(version))))

    def of(self, place: Place) -> Seen:
        """What the run that asks has seen; version None: it has not looked."""
        loads = [load for load in _loads.get() if load[0] == place]
        own = [load for load in loads if load[1] is self]
        if loads:  # another persistence of the same place may have loaded for this one
            return (own or loads)[-1][2]
        with self._lock:
            seen = self._begun.setdefault(place, Seen(None))
            self._begun.move_to_end(place)
            if len(self._begun) > FLOWS:
                self._begun.popitem(last=False)
            return seen
