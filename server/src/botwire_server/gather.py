"""Reads for stores across a network: those that arrive together share a round trip.

A read that finds nobody under way leaves at once; others gather while two groups are under way. A
group sees the store as it was at one moment after all its reads had arrived.
"""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from botwire.operations import Operation
from botwire.stores.store import Store, Ticket

__all__ = ["GroupReader"]

GROUPS = 2  # under way at a time
GROUP = 256  # reads of one group at most


class GroupReader:
    """Applies operations on one key each, several at a time."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: list[tuple[Ticket, asyncio.Future[None]]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._groups = 0  # under way; a task that ends is in the set a moment longer
        self._threads = ThreadPoolExecutor(GROUPS, "botwire-reader")

    async def read(self, operation: Operation) -> Any:
        """The reply; raises `Escalate` when it needs more than a small row."""
        ticket = Ticket(operation)
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((ticket, done))
        if self._groups < GROUPS:  # it begins after whatever arrives in this turn of the loop
            self._groups += 1
            task = asyncio.create_task(self._work())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        await done
        return ticket.result()

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            group, self._waiting = self._waiting[:GROUP], self._waiting[GROUP:]
            tickets = [ticket for ticket, _ in group]
            await loop.run_in_executor(self._threads, self._read, tickets)
            for _, done in group:
                if not done.done():  # else the caller went away
                    done.set_result(None)
        self._groups -= 1

    def _read(self, tickets: Sequence[Ticket]) -> None:
        try:
            self._store.read_together(tickets)
        except Exception as error:  # each caller gets it
            for ticket in tickets:
                ticket.fail(error)

    async def close(self) -> None:
        """Finish what is under way."""
        await asyncio.gather(*self._tasks)
        self._threads.shutdown()
