"""What was called and answered, and whether one sequence of steps explains it (linearizability).

A key is taken for a register with versions. A history of calls is right if each call can be put at
one moment between its beginning and its end so that, one after the other, all of them give what
they gave. A call whose outcome is not known may have happened at any moment after it began, or not
at all. (Wing and Gong 1993, with the memory of Lowe 2017.)
"""

import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
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
    search = _Search(calls)
    seen: set[_Point] = set()
    start = _Point(0, 0, state)
    trail: list[tuple[_Point, list[Call], Iterator[tuple[_Point, list[Call]]]]] = []
    point, ways = start, search.ways(start)
    taken: list[Call] = []
    while point.done != search.all:
        following = next((way for way in ways if way[0] not in seen), None)
        if following is not None:
            trail.append((point, taken, ways))
            point, taken = following
            seen.add(point)
            ways = search.ways(point)
        elif trail:
            point, taken, ways = trail.pop()
        else:
            return None
    return [call for _, part, _ in [*trail, (point, taken, ways)] for call in part]


class _Point(NamedTuple):
    """How far a search has come: bits of the calls that were placed, and the state of the key."""

    done: int
    used: int
    state: State


class _Search:
    """The calls of one key: those with an answer, and those that may have happened."""

    def __init__(self, calls: Sequence[Call]) -> None:
        in_order = sorted(calls, key=lambda call: call.began)
        self._answered = [call for call in in_order if call.ended < math.inf]
        self._open = [call for call in in_order if call.ended == math.inf and call.kind != "get"]
        self._by_value: dict[Any, list[int]] = {}
        for number, call in enumerate(self._open):
            self._by_value.setdefault(_left(call), []).append(number)
        self.all = (1 << len(self._answered)) - 1

    def ways(self, point: _Point) -> Iterator[tuple[_Point, list[Call]]]:
        """What may come next: a call with an answer, if need be after some without one."""
        numbers = self._next(point.done)
        for number in numbers:
            call = self._answered[number]
            for state in step(point.state, call):
                yield _Point(point.done | 1 << number, point.used, state), [call]
        # A call without an answer shows in the next answer only, so it may come just before that.
        for number in numbers:
            call = self._answered[number]
            for used, part, state in self._chains(point, call):
                for following in step(state, call):
                    yield _Point(point.done | 1 << number, used, following), [*part, call]

    def _next(self, done: int) -> list[int]:
        """The calls that may come next: none ended before they began."""
        found: list[int] = []
        first_end = math.inf
        for number in range((~done & done + 1).bit_length() - 1, len(self._answered)):
            call = self._answered[number]
            if call.began > first_end:
                break
            if not done >> number & 1:
                first_end = min(first_end, call.ended)
                found.append(number)
        return sorted(found, key=lambda number: self._answered[number].ended)

    def _chains(self, point: _Point, answer: Call) -> Iterator[tuple[int, list[Call], State]]:
        """Calls without an answer that leave the key as the answer found it.

        The version that a compare-and-set expects was told to its caller by an answer, so of calls
        without one only a delete can have made way for it.
        """
        for last in self._leaving(_found(answer)):
            call = self._open[last]
            if call.began > answer.ended or point.used >> last & 1:
                continue
            used = point.used | 1 << last
            yield from ((used, [call], state) for state in step(point.state, call))
            if call.kind == "cas" and not call.argument[1]:  # it needed a delete before it
                for first in self._leaving(MISSING):
                    before = self._open[first]
                    if before.began <= answer.ended and not used >> first & 1:
                        for middle in step(point.state, before):
                            for state in step(middle, call):
                                yield used | 1 << first, [before, call], state

    def _leaving(self, value: Any) -> list[int]:
        if value is None:
            return [number for numbers in self._by_value.values() for number in numbers]
        return self._by_value.get(value, [])


def _found(call: Call) -> Any:
    """The value a call found, MISSING, or None where any will do."""
    if call.kind == "get":
        return MISSING if call.result == MISSING else call.result[0]
    if call.kind == "delete":
        return None if call.result else MISSING
    if call.kind == "cas" and not isinstance(call.result, int):
        return call.result[1] if call.result[2] else MISSING
    return MISSING if call.kind == "cas" and not call.argument[1] else None


def _left(call: Call) -> Any:
    if call.kind == "delete":
        return MISSING
    return call.argument if call.kind == "set" else call.argument[0]


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
