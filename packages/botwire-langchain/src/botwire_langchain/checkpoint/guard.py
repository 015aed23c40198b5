"""What stands before every write to a thread: that the writer still owns it, and that it lives on.

The key of a thread (`t/<thread>`) is the place for both. Its version is the fence: a writer that
claimed a thread writes only while the key is still at the version that its claim gave. Its time to
live is that of the whole thread: once it has expired, nothing of the thread is shown, and the next
write clears what is left. The thread's other entries live half a ttl longer and are renewed
together, so that a write does not touch them all each time.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import uuid4

from botwire import Conflict
from botwire.errors import BotWireError
from botwire.jsontext import Json, encode
from botwire.operations import Batch, Clear, Entry, Expire, Head, Merge, Operation, Set, Touch
from botwire_langchain.checkpoint.layout import everything, guard_key
from botwire_langchain.faces import Flow

__all__ = ["Guard", "StaleWriteOwner"]

SLACK = 1.5  # how much longer than the thread its entries live
EMPTY = Json("{}")


class StaleWriteOwner(BotWireError):
    """Another writer has claimed the thread since; nothing was written."""

    code, title, status = "BW-412-owner", "Thread has another owner", 412
    is_stale_write_owner_error = True  # how LangGraph's ownership contract tells it


@dataclass(slots=True)
class Life:
    """What is known of a thread that expires: the version of its key, when to renew the rest."""

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

    def __post_init__(self) -> None:
        if self.ttl is not None:
            Touch(self.namespace, "t", self.ttl)  # refuses what is no time to live

    @property
    def entry_ttl(self) -> float | None:
        return None if self.ttl is None else self.ttl * SLACK

    def write(self, thread: str, operations: Sequence[Operation]) -> Flow[list[Any]]:
        """Do these together, if the thread may be written to; their results.

        Raises:
            StaleWriteOwner: this writer no longer owns the thread.
            Conflict: of the operations themselves.
        """
        while True:
            before = yield from self._before(thread)
            try:
                results = yield Batch(self.namespace, (*before, *operations))
            except Conflict as conflict:
                if conflict.key != guard_key(thread):
                    raise
                self._lost(thread, conflict)
            else:
                self._wrote(thread, before, results)
                return results[len(before) :]

    def _before(self, thread: str) -> Flow[list[Operation]]:
        claimed = self.claims.get(thread)
        if self.ttl is None:
            return [] if claimed is None else [self._still(thread, claimed)]
        life = self.lives.get(thread)
        if life is None:
            entry: Entry | None = yield Head(self.namespace, guard_key(thread))
            life = self.lives[thread] = Life(entry.version if entry else 0)
        version = life.version if claimed is None else claimed
        if version == 0:
            return self._birth(thread)
        alive = [self._still(thread, version), Touch(self.namespace, guard_key(thread), self.ttl)]
        return [*alive, *self._renewal(thread)] if life.due else alive

    def _still(self, thread: str, version: int) -> Operation:
        # Merging nothing changes nothing; it is there for its condition.
        return Merge(self.namespace, guard_key(thread), Json("{}"), if_version=version)

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
        life = self.lives.get(thread)
        if life is None or self.ttl is None:
            return
        if isinstance(before[0], Set):
            life.version = results[len(before) - 1].version
        if len(before) > 2:  # born or renewed
            life.renewed(self.ttl * (SLACK - 1))

    def _lost(self, thread: str, conflict: Conflict) -> None:
        if thread in self.claims:
            raise StaleWriteOwner(
                f"this writer no longer owns thread {thread!r}: another one claimed it, "
                "or it expired or was deleted; nothing was written",
                hint="Stop this run; claim_write_ownership(thread_id) takes the thread over.",
                thread=thread,
            ) from conflict
        self.lives[thread] = Life(conflict.current_version)

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
                return replace(self, claims=claims, lives={})

    def check(self, thread: str) -> Flow[None]:
        """Raise StaleWriteOwner if this writer claimed the thread and no longer owns it."""
        yield from self.write(thread, ())

    # -- reading ---------------------------------------------------------------------------------

    def reading(self, thread: str) -> list[Operation]:
        """What to read together with anything of a thread, for `alive` to judge."""
        if self.ttl is None:
            return []
        key = guard_key(thread)
        touch = [Touch(self.namespace, key, self.ttl)] if self.refresh_on_read else []
        return [Head(self.namespace, key), *touch]

    def alive(self, thread: str, results: Sequence[Any]) -> bool:
        """Whether the thread exists; `results` begin with those of `reading`."""
        if self.ttl is None:
            return True
        entry: Entry | None = results[0]
        known = self.lives.get(thread)
        if known is None or known.version != (entry.version if entry else 0):
            self.lives[thread] = Life(entry.version if entry else 0)
        return entry is not None

    def was_read(self, thread: str) -> Flow[None]:
        """Renew the entries of a thread whose reading renews it, when that is due."""
        life = self.lives.get(thread)
        if not self.refresh_on_read or self.ttl is None or life is None:
            return
        if life.due:
            yield Batch(self.namespace, tuple(self._renewal(thread)))
            life.renewed(self.ttl * (SLACK - 1))
