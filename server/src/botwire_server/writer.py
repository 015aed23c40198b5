"""Group commit for the event loop: writes wait here while the one before them is being synced.

One transaction runs at a time. Whatever has gathered when it ends goes into the next one together,
and every caller is answered only after its own transaction is on disk. Small writes are applied on
the loop, which is quicker than fighting with a thread for the interpreter; waiting for the disk
happens in the thread.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from botwire.operations import Operation
from botwire.stores.store import GROUP, Once, Store, Ticket
from botwire_server.metrics import Metrics

__all__ = ["Writer"]


QUICK = frozenset({"set", "delete", "touch", "persist", "increment", "append"})
QUICK_BYTES = 65536


def _all_quick(tickets: Sequence[Ticket]) -> bool:
    """Whether these writes touch single keys with small values, so that the loop may apply them."""
    return all(
        ticket.operation.name in QUICK
        and len(getattr(ticket.operation, "value", "")) <= QUICK_BYTES
        and sum(map(len, getattr(ticket.operation, "items", ()))) <= QUICK_BYTES
        for ticket in tickets
    )


class Writer:
    """Applies writes to a store, in groups; `committed` is called before anybody is answered."""

    def __init__(self, store: Store, metrics: Metrics, committed: Callable[[], None]) -> None:
        self._store = store
        self._committed = committed
        self._metrics = metrics
        self._waiting: list[tuple[Ticket, asyncio.Future[None]]] = []
        self._task: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, "botwire-writer")

    async def write(self, operation: Operation, once: Once | None = None) -> Any:
        """Apply one write durably and return its reply."""
        ticket = Ticket(operation, once)
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((ticket, done))
        if self._task is None:
            self._task = asyncio.create_task(self._work())
        await done
        return ticket.result()

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                group, self._waiting = self._waiting[:GROUP], self._waiting[GROUP:]
                tickets = [ticket for ticket, _ in group]
                finish = self._store.begin(tickets) if _all_quick(tickets) else None
                job = finish or partial(self._store.commit, tickets)
                await loop.run_in_executor(self._thread, job)
                self._metrics.commit(len(tickets))
                self._committed()
                for _, done in group:
                    if not done.done():  # a caller that went away
                        done.set_result(None)
        finally:
            self._task = None

    async def close(self) -> None:
        """Finish what waits."""
        if self._task is not None:
            await self._task
        self._thread.shutdown()
