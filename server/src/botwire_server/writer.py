"""Group commit for the event loop: writes wait here while the one before them is being synced.

Whatever has gathered when a transaction ends goes into the next together, and every caller is
answered only after its own transaction is on disk. While one takes long, others run beside it, as
many as the store has lanes: one for SQLite. Small writes are applied on the loop where the store
can do that, which is quicker than fighting with a thread for the interpreter; waiting for the disk
happens in the thread.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from botwire.operations import Append, Operation, Set
from botwire.stores.store import Store, Ticket
from botwire_server.lanes import Lanes
from botwire_server.metrics import Metrics
from botwire_server.steps import Done
from botwire_server.tasks import Tasks

__all__ = ["Writer"]


QUICK = frozenset({"delete", "touch", "persist", "increment"})
QUICK_BYTES = 65536
PATIENCE = 0.005  # seconds until a group takes long; twice as much if the loop has enough to do
ENOUGH = 0.6  # of that time: more groups would be in the way of the one that runs


def _all_quick(tickets: Sequence[Ticket]) -> bool:
    """Whether these writes touch single keys with small values, so that the loop may apply them."""
    return all(_quick(ticket.operation) for ticket in tickets)


def _quick(operation: Operation) -> bool:
    if isinstance(operation, Set):
        return len(operation.value) <= QUICK_BYTES
    if isinstance(operation, Append):
        return sum(map(len, operation.items)) <= QUICK_BYTES
    return operation.name in QUICK


class Writer:
    """Applies writes to a store, in groups; `committed` is called before anybody is answered."""

    def __init__(self, store: Store, metrics: Metrics, committed: Callable[[], None]) -> None:
        self._store = store
        self._committed = committed
        self._metrics = metrics
        self._lanes = Lanes(store.lanes)
        self._callers: dict[Ticket, Done] = {}
        self._starting = False
        self._tasks = Tasks()
        self._threads = ThreadPoolExecutor(store.lanes, "botwire-writer")

    def submit(self, ticket: Ticket, done: Done) -> None:
        """Apply one write durably, then call `done`."""
        self._callers[ticket] = done
        self._lanes.add(ticket)
        if not self._starting:  # once for all writes that arrive in this turn of the loop
            self._starting = True
            asyncio.get_running_loop().call_soon(self._start)

    def _start(self) -> None:
        self._starting = False
        while group := self._take():
            self._tasks.start(self._work(group))

    async def _work(self, group: list[Ticket]) -> None:
        loop = asyncio.get_running_loop()
        while group:
            left: Sequence[Ticket] = ()
            soon = loop.call_later(PATIENCE, self._let_pass_if_idle, group, time.thread_time())
            late = loop.call_later(2 * PATIENCE, self._let_pass, group)
            try:
                left = await self._commit(group) or ()
            except BaseException as error:
                for ticket in group:
                    ticket.fail(error)
                raise
            finally:
                soon.cancel()
                late.cancel()
                self._lanes.done(group, left)
                self._answer(group)
            group = self._take()
            self._start()  # others may go on as well, now that these namespaces are free

    def _take(self) -> list[Ticket]:
        group = self._lanes.take()
        if group:
            self._lanes.gather_behind(group)
        return group

    def _let_pass_if_idle(self, group: list[Ticket], since: float) -> None:
        if time.thread_time() - since < ENOUGH * PATIENCE:
            self._let_pass(group)

    def _let_pass(self, group: list[Ticket]) -> None:
        self._lanes.let_pass(group)
        self._start()

    async def _commit(self, group: list[Ticket]) -> Sequence[Ticket] | None:
        quick = _all_quick(group)
        left = await self._store.commit_soon(group) if quick else None
        if left is None:
            job = self._store.begin(group) if quick else None
            left = await asyncio.get_running_loop().run_in_executor(
                self._threads, job or partial(self._store.commit, group)
            )
        self._metrics.commit(len(group))
        self._committed()
        return left

    def _answer(self, group: Sequence[Ticket]) -> None:
        loop = asyncio.get_running_loop()
        for ticket in group:
            if ticket.done:
                loop.call_soon(self._callers.pop(ticket), ticket)

    async def close(self) -> None:
        """Finish what waits."""
        while self._tasks or self._starting:
            await asyncio.sleep(0)
            await self._tasks.finish()
        self._threads.shutdown()
