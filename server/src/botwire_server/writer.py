"""Group commit for the event loop: writes wait here while the one before them is being synced.

One transaction runs at a time. Whatever has gathered when it ends goes into the next one together,
and every caller is answered only after its own transaction is on disk.
"""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from botwire.operations import Operation
from botwire.stores.store import GROUP, Once, Store, Ticket
from botwire_server.metrics import Metrics

__all__ = ["Writer"]


class Writer:
    """Applies writes to a store, in groups."""

    def __init__(self, store: Store, metrics: Metrics) -> None:
        self._store = store
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
                await loop.run_in_executor(self._thread, self._commit, tickets)
                for _, done in group:
                    if not done.done():  # a caller that went away
                        done.set_result(None)
        finally:
            self._task = None

    def _commit(self, tickets: Sequence[Ticket]) -> None:
        self._store.commit(tickets)
        self._metrics.commits.observe(len(tickets))

    async def close(self) -> None:
        """Finish what waits."""
        if self._task is not None:
            await self._task
        self._thread.shutdown()
