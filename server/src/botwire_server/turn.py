"""Single reads in line on the event loop, sharing one snapshot for each turn of the loop.

Beginning and ending a read transaction costs SQLite several system calls, more than the read does.
All requests that one turn of the loop serves had arrived before the turn began, so one snapshot,
opened in that turn, is fresh enough for every one of them; it ends before the next turn reads the
sockets. A write that is acknowledged ends it too, so nobody ever misses a write that was answered.
"""

import asyncio
from contextlib import AbstractContextManager
from typing import Any

from botwire.errors import BotWireError
from botwire.operations import Operation
from botwire.stores.base import Escalate, Mode, Session
from botwire.stores.store import Store

__all__ = ["TurnReader"]


class TurnReader:
    """Applies operations that need one row, on the event loop's thread."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._open: AbstractContextManager[Session] | None = None
        self._session: Session | None = None

    def read(self, operation: Operation) -> Any:
        """Apply an operation, or raise `Escalate` when it needs more than a row."""
        session = self._session or self._begin()
        store = self._store
        try:
            if operation.looks:
                return operation.look(session, store.clock)
            return operation.apply(store.space(session, operation.namespace, Mode.POINT))
        except (Escalate, BotWireError):
            raise
        except Exception as error:
            self._abandon(error)
            raise

    def _begin(self) -> Session:
        self._open = self._store.session(Mode.SNAPSHOT)
        self._session = self._open.__enter__()
        asyncio.get_running_loop().call_soon(self.end)
        return self._session

    def _abandon(self, error: Exception) -> None:
        """Let the store say what an error of its engine means; nobody else uses this snapshot."""
        transaction, self._open, self._session = self._open, None, None
        if transaction is not None:
            transaction.__exit__(type(error), error, error.__traceback__)

    def end(self) -> None:
        """Let go of the snapshot, if there is one."""
        transaction, self._open, self._session = self._open, None, None
        if transaction is not None:
            transaction.__exit__(None, None, None)
