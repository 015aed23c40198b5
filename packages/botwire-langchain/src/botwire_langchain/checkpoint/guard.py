"""What stands before every write to a thread: that the writer still may, and that it lives on.

The key of a thread (`t/<thread>`) is the place for both, and every write is conditional on it.

- Its version changes when the thread is begun, deleted or claimed, so a writer that built on what
  was deleted meanwhile is stopped, and so is one that claimed the thread before somebody else did.
- Its time to live is that of the whole thread: once it has expired, nothing of the thread is shown,
  and the next write clears what is left. The thread's other entries live half a ttl longer and are
  renewed together, so that a write does not touch them all each time.
"""

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import uuid4

from botwire import Conflict
from botwire.errors import BotWireError
from botwire.jsontext import Json, encode
from botwire.operations import Batch, Clear, Entry, Expect, Expire, Head, Operation, Set, Touch
from botwire_langchain.checkpoint.layout import everything, guard_key
from botwire_langchain.checkpoint.together import Together
from botwire_langchain.faces import Flow

__all__ = ["Guard", "StaleWriteOwner"]

SLACK = 1.5  # how much longer than the thread its entries live
EMPTY = Json("{}")
KEPT = 4096  # threads of which something is known


class StaleWriteOwner(BotWireError):
    """Another writer has claimed the thread since; nothing was written."""

    code, title, status = "BW-412-owner", "Thread has another owner", 412
    is_stale_write_owner_error = True  # how LangGraph's ownership contract tells it


@dataclass(slots=True)
class Life:
    """What is known of a thread: the version of its key (0: it is new), when to renew the rest."""

    version: int
    renew_at: tuple[float, float] = (0.0, 0.0)

    @property
    def due(self) -> bool:
        # One clock stands still while a laptop sleeps, the other one can be set back.
        return time.monotonic() >= self.renew_at[0] or time.time() >= self.renew_at[1]

    def renewed(self, seconds: float) -> None:
        self.renew_at = (time.monotonic() + seconds, time.time() + seconds)


@dataclass(slots=True)
class Guard:
    """Guards the writes of one saver. Copies of the saver share it; a claim makes one of its own.

    Args:
        ttl: seconds a thread lives after its last write (or read, with `refresh_on_read`).
        claims: the threads this writer owns, and the version of their key that says so.
    """

    namespace: str
    ttl: float | None = None
    refresh_on_read: bool = False
    claims: Mapping[str, int] = field(default_factory=dict[str, int])
    lives: dict[str, Life] = field(default_factory=dict[str, Life])
    together: Together = field(default_factory=Together)
    _lock: Any = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        if self.ttl is not None:
            Touch(self.namespace, "t", self.ttl)  # refuses what is no time to live

    @property
    def entry_ttl(self) -> float | None:
        return None if self.ttl is None else self.ttl * SLACK

    def write(self, thread: str, operations: Sequence[Operation]) -> Flow[list[Any]]:
        """Do these together, if the thread is what it was when it was last seen; their results.

        Raises:
            StaleWriteOwner: this writer claimed the thread and no longer owns it.
            Conflict: the thread was begun, deleted or claimed meanwhile (what it is now is known
                then, so a second attempt will do), or a condition of the operations does not hold.
        """
        before = self._before(thread)
        try:
            results = yield Batch(self.namespace, (*before, *operations))
        except Conflict as conflict:
            if conflict.key == guard_key(thread):
                self._lost(thread, conflict)
            raise
        self._wrote(thread, before, results)
        return results[len(before) :]

    def write_anyway(self, thread: str, operations: Sequence[Operation]) -> Flow[list[Any]]:
        """`write` for operations that have no conditions and build on nothing."""
        if self.ttl is None and thread not in self.claims:
            one = operations[0] if len(operations) == 1 else None
            return [(yield one)] if one else (yield Batch(self.namespace, tuple(operations)))
        while True:
            try:
                return (yield from self.write(thread, operations))
            except Conflict:
                continue

    def _before(self, thread: str) -> list[Operation]:
        life = self.lives.get(thread)
        version = self.claims.get(thread) or (life.version if life else 0)
        if version == 0:
            return self._birth(thread)
        still = self._still(thread, version)
        if self.ttl is None:
            return [still]
        alive = [still, Touch(self.namespace, guard_key(thread), self.ttl)]
        return [*alive, *self._renewal(thread)] if life is None or life.due else alive

    def _still(self, thread: str, version: int) -> Operation:
        return Expect(self.namespace, guard_key(thread), version)

    def _birth(self, thread: str, value: Json = EMPTY) -> list[Operation]:
        """A thread begins; what an expired one of this name left behind goes."""
        key = guard_key(thread)
        left = everything(thread) if self.ttl is not None else []
        clear = [Clear(self.namespace, prefix) for prefix in left]
        made = Set(self.namespace, key, value, self.ttl, if_version=0)
        return [made, *clear, Head(self.namespace, key)]

    def _renewal(self, thread: str) -> list[Operation]:
        ttl = self.entry_ttl
        if ttl is None:
            return []
        return [Expire(self.namespace, prefix, ttl) for prefix in everything(thread)]

    def _wrote(self, thread: str, before: Sequence[Operation], results: Sequence[Any]) -> None:
        born = isinstance(before[0], Set)
        if born:
            self._learn(thread, results[len(before) - 1].version)
        if self.ttl is not None and (born or len(before) > 2):
            life = self.lives.get(thread) or self._learn(thread, self.claims.get(thread, 0))
            life.renewed(self.ttl * (SLACK - 1))

    def _learn(self, thread: str, version: int) -> Life:
        with self._lock:
            life = self.lives.pop(thread, None)
            if life is None or life.version != version:
                life = Life(version)
            self.lives[thread] = life
            if len(self.lives) > KEPT:
                self.lives.pop(next(iter(self.lives)))
            return life

    def _lost(self, thread: str, conflict: Conflict) -> None:
        if thread in self.claims:
            raise StaleWriteOwner(
                f"this writer no longer owns thread {thread!r}: another one claimed it, "
                "or it expired or was deleted; nothing was written",
                hint="Stop this run; claim_write_ownership(thread_id) takes the thread over.",
                thread=thread,
            ) from conflict
        self._learn(thread, conflict.current_version)

    def claim(self, thread: str) -> Flow["Guard"]:
        """A guard that owns the thread; whoever owned it until now no longer does."""
        key, owner = guard_key(thread), encode({"owner": uuid4().hex})
        entry: Entry | None = yield Head(self.namespace, key)
        while True:
            old = entry.version if entry else 0
            taken = Set(self.namespace, key, owner, self.ttl, if_version=old)
            make = [taken, Head(self.namespace, key)] if entry else self._birth(thread, owner)
            try:
                results: list[Any] = yield Batch(self.namespace, tuple(make))
            except Conflict:
                entry = yield Head(self.namespace, key)
            else:
                claims = {**self.claims, thread: results[-1].version}
                return replace(self, claims=claims, lives={}, together=Together())

    def check(self, thread: str) -> Flow[None]:
        """Raise StaleWriteOwner if this writer claimed the thread and no longer owns it."""
        yield from self.write(thread, ())

    # -- reading ---------------------------------------------------------------------------------

    def reading(self, thread: str) -> list[Operation]:
        """What to read together with anything of a thread, for `alive` to judge."""
        key = guard_key(thread)
        renew = self.refresh_on_read and self.ttl is not None
        touch = [Touch(self.namespace, key, self.ttl)] if renew else []
        return [Head(self.namespace, key), *touch]

    def alive(self, thread: str, results: Sequence[Any]) -> bool:
        """Whether the thread is to be shown; `results` begin with those of `reading`."""
        entry: Entry | None = results[0]
        self._learn(thread, entry.version if entry else 0)
        return self.ttl is None or entry is not None

    def was_read(self, thread: str) -> Flow[None]:
        """Renew the entries of a thread whose reading renews it, when that is due."""
        life = self.lives.get(thread)
        if self.refresh_on_read and self.ttl is not None and life is not None and life.due:
            yield Batch(self.namespace, tuple(self._renewal(thread)))
            life.renewed(self.ttl * (SLACK - 1))
