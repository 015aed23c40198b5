"""Writers of mixed operations that note every call, and what must hold of their notes."""

import itertools
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from history import MISSING, UNKNOWN, Call, Log, explain

from botwire import Memory
from botwire.errors import Conflict, QuotaExceeded, StorageFull, Unavailable

__all__ = ["Report", "Workload"]

LOST = (Unavailable, StorageFull)  # Timeout and Unreachable among them: nobody knows what happened
NAMESPACES = 6
REGISTERS = 24


@dataclass
class Report:
    """What happened, in figures, and everything that should not have."""

    calls: int = 0
    unknown: int = 0
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        found = "\n".join(self.wrong) or "nothing was lost, doubled or out of order"
        return f"{self.calls:,} calls, {self.unknown:,} of unknown outcome; {found}"


class Workload:
    """So many threads, each working through any of the addresses, until `stop`.

    Args:
        urls: addresses of servers that share one store (or balancers in front of them).
        quota: writes a day that the servers allow a namespace.
        part: a name for this workload, so that a second one finds namespaces of its own.
    """

    def __init__(
        self,
        urls: Sequence[str],
        *,
        writers: int,
        quota: int,
        seed: int = 0,
        part: str = "work",
    ) -> None:
        self._part = part
        self._urls = urls
        self._quota = quota
        self._seed = seed
        self._log = Log()
        self._over = threading.Event()
        self._versions: list[tuple[str, int]] = []
        self._counted: dict[str, list[Any]] = {}
        self._appended: dict[str, list[tuple[Any, Any]]] = {}
        self._granted: list[Any] = []
        self._lock = threading.Lock()
        self._crashes: list[BaseException] = []
        self._threads = [
            threading.Thread(target=self._work, args=(who,), daemon=True) for who in range(writers)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Let all calls end."""
        self._over.set()
        for thread in self._threads:
            thread.join(60)

    @property
    def calls(self) -> int:
        """How many were made so far."""
        return sum(map(len, list(self._log.calls.values()))) + sum(
            len(found) for part in (self._counted, self._appended) for found in part.values()
        )

    # -- what a writer does --------------------------------------------------------------------

    def _work(self, who: int) -> None:
        chance = random.Random(f"{self._seed} {who}")
        # Some are impatient, so that there are calls of which nobody learns what became of them.
        memories = [Memory("-", url=url, timeout=[15, 1][who % 4 == 0]) for url in self._urls]
        acts = (
            [self._register] * 6
            + [self._count] * 3
            + [self._append] * 3
            + [self._spend, self._pair]
        )
        try:
            for turn in itertools.count():
                if self._over.is_set():
                    return
                memory = chance.choice(memories).namespaced(
                    f"{self._part} {chance.randrange(NAMESPACES)}"
                )
                chance.choice(acts)(memory, chance, who, turn)
        except BaseException as error:
            self._crashes.append(error)
        finally:
            for memory in memories:
                memory.close()

    def _register(self, memory: Memory, chance: random.Random, who: int, turn: int) -> None:
        """A key that is read, set, compared and set, and deleted."""
        key = f"register {chance.randrange(REGISTERS // NAMESPACES)}"
        place = f"{memory.namespace}/{key}"
        kind = chance.choices(["get", "set", "cas", "delete"], [5, 3, 3, 1])[0]
        value = f"{who}.{turn}"
        if kind == "get":
            self._log.record(place, "get", None, who, lambda: _read(memory, key), LOST)
        elif kind == "set":
            self._log.record(place, "set", value, who, lambda: memory.set(key, value), LOST)
        elif kind == "delete":
            self._log.record(place, "delete", None, who, lambda: memory.delete(key), LOST)
        else:
            seen = self._log.record(place, "get", None, who, lambda: _read(memory, key), LOST)
            if seen != UNKNOWN:
                expected = 0 if seen == MISSING else seen[1]
                act = partial(_compare_and_set, memory, key, value, expected)
                self._log.record(place, "cas", (value, expected), who, act, LOST)

    def _count(self, memory: Memory, chance: random.Random, who: int, turn: int) -> None:
        result = _tried(lambda: memory.increment("counter"))
        with self._lock:
            self._counted.setdefault(memory.namespace, []).append(result)

    def _append(self, memory: Memory, chance: random.Random, who: int, turn: int) -> None:
        item = [who, turn, "x" * chance.choice([1, 1, 200])]
        result = _tried(lambda: memory.append("list", item))
        with self._lock:
            self._appended.setdefault(memory.namespace, []).append((item, result))

    def _spend(self, memory: Memory, chance: random.Random, who: int, turn: int) -> None:
        """Use up the quota of a namespace that nothing else writes to."""
        frugal = memory.namespaced(f"{self._part}, frugal")
        try:
            result = _tried(lambda: frugal.increment("spent"))
        except QuotaExceeded:
            return
        with self._lock:
            self._granted.append(result)

    def _pair(self, memory: Memory, chance: random.Random, who: int, turn: int) -> None:
        """Two keys that are only ever written together."""
        pairs = memory.namespaced(f"{self._part}, pairs {chance.randrange(3)}")

        def write() -> Any:
            with pairs.batch() as batch:
                batch.set("left", [who, turn])
                batch.append("log", [who, turn])
                batch.set("right", [who, turn])
            return True

        _tried(write)
        found = _tried(lambda: pairs.get_many(["left", "right"]))
        if found not in (UNKNOWN, {}) and found["left"] != found["right"]:
            raise AssertionError(f"half of a batch was seen: {found}")

    # -- what must hold ------------------------------------------------------------------------

    def check(self, memory: Memory) -> Report:
        """Read what is there now and hold it against the notes."""
        report = Report(self.calls)
        report.wrong += [f"a writer failed: {error!r}" for error in self._crashes]
        report.wrong += ["a writer still waits" for t in self._threads if t.is_alive()]
        self._check_registers(memory, report)
        for name in {*self._counted, *self._appended}:
            here = memory.namespaced(name)
            self._check_counter(here, report)
            self._check_list(here, report)
        self._check_quota(memory.namespaced(f"{self._part}, frugal"), report)
        return report

    def _check_registers(self, memory: Memory, report: Report) -> None:
        versions: dict[str, Counter[int]] = {}
        for place, calls in self._log.calls.items():
            name, _, key = place.partition("/")
            now = time.monotonic()
            last = Call("get", None, _read(memory.namespaced(name), key), now, now + 1)
            report.unknown += sum(call.result == UNKNOWN for call in calls)
            if explain([*calls, last]) is None:
                report.wrong.append(f"no order of calls explains {place}")
            given = [c.result for c in calls if c.kind in ("set", "cas") and type(c.result) is int]
            versions.setdefault(name, Counter()).update(given)
        for name, given in versions.items():
            twice = [version for version, times in given.items() if times > 1]
            report.wrong += [f"version {version} of {name} was given twice" for version in twice]

    def _check_counter(self, memory: Memory, report: Report) -> None:
        results = self._counted.get(memory.namespace, [])
        unknown = results.count(UNKNOWN)
        report.unknown += unknown
        sums = [result for result in results if result != UNKNOWN]
        total = memory.get("counter", 0)
        if len(set(sums)) < len(sums):
            report.wrong.append(f"two increments of {memory.namespace} gave the same sum")
        if not len(sums) <= total <= len(sums) + unknown or max(sums, default=0) > total:
            report.wrong.append(
                f"{memory.namespace}: {len(sums)} increments (and {unknown} unknown) gave {total}"
            )

    def _check_list(self, memory: Memory, report: Report) -> None:
        noted = self._appended.get(memory.namespace, [])
        found = [tuple(item) for item in memory.get("list", [])]
        acknowledged = {tuple(item) for item, result in noted if result != UNKNOWN}
        unknown = {tuple(item) for item, result in noted if result == UNKNOWN}
        report.unknown += len(unknown)
        if len(set(found)) < len(found):
            report.wrong.append(f"{memory.namespace}: an item was appended twice")
        if lost := acknowledged - set(found):
            report.wrong.append(f"{memory.namespace}: {len(lost)} appended items are lost")
        if set(found) - acknowledged - unknown:
            report.wrong.append(f"{memory.namespace}: there are items that nobody appended")
        newest: dict[int, int] = {}
        for item in found:
            who, turn, _ = item
            # What a writer gave up waiting for may happen after what it did next.
            if item in acknowledged and turn < newest.get(who, 0):
                report.wrong.append(f"{memory.namespace}: items of writer {who} are out of order")
            newest[who] = max(turn, newest.get(who, 0))
        lengths = [result for _, result in noted if result != UNKNOWN]
        if len(set(lengths)) < len(lengths):
            report.wrong.append(f"{memory.namespace}: two appends gave the same length")

    def _check_quota(self, memory: Memory, report: Report) -> None:
        usage, spent = memory.usage(), memory.get("spent", 0)
        acknowledged = [result for result in self._granted if result != UNKNOWN]
        if not len(acknowledged) <= spent == usage.writes_today <= self._quota:
            report.wrong.append(
                f"quota of {self._quota}: {len(acknowledged)} acknowledged, {spent} kept,"
                f" {usage.writes_today} counted"
            )


def _tried(act: Callable[[], Any]) -> Any:
    try:
        return act()
    except LOST:
        return UNKNOWN


def _read(memory: Memory, key: str) -> Any:
    entry = memory.entry(key)
    return MISSING if entry is None else (entry.value, entry.version)


def _compare_and_set(memory: Memory, key: str, value: str, expected: int) -> Any:
    try:
        return memory.set(key, value, if_version=expected)
    except Conflict as conflict:
        return ("conflict", conflict.current_value, conflict.current_version)
