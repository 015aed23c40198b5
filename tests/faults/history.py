"""What was called and answered, and whether one sequence of steps explains it (linearizability).

A key is taken for a register with versions. A history of calls is right if each call can be put at
one moment between its beginning and its end so that, one after the other, all of them give what
they gave. A call whose outcome is not known may have happened at any moment after it began, or not
at all. (Wing and Gong 1993, with the memory of Lowe 2017.)
"""

import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

__all__ = ["MISSING", "UNKNOWN", "Call", "Log", "State", "explain", "step"]

MISSING = "<missing>"
UNKNOWN = "<unknown>"  # the outcome of a call that was never answered


@dataclass(frozen=True, slots=True)
class Call:
    """One call on a key.

    kind and argument -> result:
        get None -> (value, version), or MISSING
        set value -> version
        cas (value, expected version) -> version, or ("conflict", value, version)
        delete None -> True or False
    """

    kind: str
    argument: Any
    result: Any
    began: float
    ended: float = math.inf
    who: int = 0


class State(NamedTuple):
    """A key: its value and version; version None: changed by a call that was never answered.

    `floor` is the highest version seen on the key: later ones must be above it.
    """

    value: Any = MISSING
    version: int | None = 0
    floor: int = 0


def step(state: State, call: Call) -> list[State]:
    """The states after the call, if it can have given what it gave (one that is unknown: both)."""
    return _STEPS[call.kind](state, call)


def _written(state: State, value: Any, version: int) -> list[State]:
    return [State(value, version, version)] if version > state.floor else []


def _is(state: State, value: Any, version: int) -> bool:
    if state.value != value or state.value == MISSING:
        return False
    return state.version == version or (state.version is None and version > state.floor)


def _get(state: State, call: Call) -> list[State]:
    if call.result == UNKNOWN:
        return [state]
    if call.result == MISSING:
        return [state] if state.value == MISSING else []
    value, version = call.result
    return [State(value, version, max(version, state.floor))] if _is(state, value, version) else []


def _set(state: State, call: Call) -> list[State]:
    if call.result == UNKNOWN:
        return [State(call.argument, None, state.floor)]
    return _written(state, call.argument, call.result)


def _cas(state: State, call: Call) -> list[State]:
    value, expected = call.argument
    met = state.version in (expected, None) if expected else state.value == MISSING
    if call.result == UNKNOWN:
        return [State(value, None, state.floor)] if met else []
    if isinstance(call.result, int):
        return _written(state, value, call.result) if met else []
    _, now, version = call.result
    if version == 0:
        return [state] if state.value == MISSING else []
    return [State(now, version, max(version, state.floor))] if _is(state, now, version) else []


def _delete(state: State, call: Call) -> list[State]:
    gone = State(MISSING, 0, state.floor)
    if call.result == UNKNOWN:
        return [gone]
    return [gone] if call.result == (state.value != MISSING) else []


_STEPS: dict[str, Callable[[State, Call], list[State]]] = {
    "get": _get,
    "set": _set,
    "cas": _cas,
    "delete": _delete,
}


def explain(calls: Sequence[Call], state: State = State()) -> list[Call] | None:  # noqa: B008
    """An order of the calls that explains all answers, or None if there is none."""
    calls = sorted(calls, key=lambda call: call.began)
    done = 0  # a bit for each call
    order: list[Call] = []
    seen: set[tuple[int, State]] = set()
    trail: list[tuple[int, State, list[tuple[int, State]]]] = []
    choices = _choices(calls, done, state)
    while any(
        not done >> number & 1 and call.ended < math.inf for number, call in enumerate(calls)
    ):
        while choices:
            number, following = choices.pop()
            if (done | 1 << number, following) not in seen:
                break
        else:
            if not trail:
                return None
            done, state, choices = trail.pop()
            order.pop()
            continue
        seen.add((done | 1 << number, following))
        trail.append((done, state, choices))
        order.append(calls[number])
        done, state = done | 1 << number, following
        choices = _choices(calls, done, state)
    return order


def _choices(calls: Sequence[Call], done: int, state: State) -> list[tuple[int, State]]:
    """The calls that may come next (none ended before they began), with what follows."""
    found: list[tuple[int, State]] = []
    first_end = math.inf
    for number, call in enumerate(calls):
        if call.began > first_end:
            break
        if not done >> number & 1:
            first_end = min(first_end, call.ended)
            found += [(number, following) for following in step(state, call)]
    # Calls that were answered first: those that were not need not have happened.
    found.sort(key=lambda choice: calls[choice[0]].ended, reverse=True)
    return found


@dataclass
class Log:
    """All calls, by key. Safe to use from threads."""

    calls: dict[str, list[Call]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, key: str, call: Call) -> None:
        with self._lock:
            self.calls.setdefault(key, []).append(call)

    def record(
        self, key: str, kind: str, argument: Any, who: int, act: Callable[[], Any], lost: Any
    ) -> Any:
        """Make a call and note it; `lost` are the errors after which nobody knows what happened."""
        began = time.monotonic()
        try:
            result = act()
        except lost:
            self.add(key, Call(kind, argument, UNKNOWN, began, who=who))
            return UNKNOWN
        self.add(key, Call(kind, argument, result, began, time.monotonic(), who))
        return result
