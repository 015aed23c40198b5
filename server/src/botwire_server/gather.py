"""Reads for stores across a network: those that arrive together share a round trip.

A read that finds nobody under way leaves at once; others gather while two groups are under way. A
group sees the store as it was at one moment after all its reads had arrived.
"""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from botwire.stores.store import Store, Ticket
from botwire_server.steps import Done
from botwire_server.tasks import Tasks

__all__ = ["GroupReader"]

GROUPS = 2  # under way at a time
GROUP = 256  # reads of one group at most


class GroupReader:
    """Applies operations on one key each, several at a time."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: list[tuple[Ticket, Done]] = []
        self._tasks = Tasks()
        self._groups = 0  # under way; a task that ends is in the set a moment longer
        self._threads = ThreadPoolExecutor(GROUPS, "botwire-reader")

    def submit(self, ticket: Ticket, done: Done) -> None:
        """Read soon, then call `done`; the error is `Escalate` when a small row is not enough."""
        self._waiting.append((ticket, done))
        if self._groups < GROUPS:  # it begins after whatever arrives in this turn of the loop
            self._groups += 1
            self._tasks.start(self._work())

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            group, self._waiting = self._waiting[:GROUP], self._waiting[GROUP:]
            tickets = [ticket for ticket, _ in group]
            if not await self._store.read_together_soon(tickets):
                await loop.run_in_executor(self._threads, self._read, tickets)
            for ticket, done in group:
                loop.call_soon(done, ticket)
        self._groups -= 1

    def _read(self, tickets: Sequence[Ticket]) -> None:
        try:
            self._store.read_together(tickets)
        except Exception as error:  # each caller gets it
            for ticket in tickets:
                ticket.fail(error)

    async def close(self) -> None:
        """Finish what is under way."""
        await self._tasks.finish()
        self._threads.shutdown()
