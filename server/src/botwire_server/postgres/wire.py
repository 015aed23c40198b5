"""Statements on one connection: queued, sent together, and waited for once.

psycopg's cursors cost more than what most of these statements do, and they send each by itself. So
this talks to libpq, as psycopg wraps it (`psycopg.pq`), in pipeline mode: whatever is queued goes
out in one piece and its results come back in another, which is one round trip and wakes the server
once. Values travel as text; results are read by psycopg's own loaders.
"""

from collections.abc import Generator
from typing import TYPE_CHECKING, Any, LiteralString

import psycopg
from psycopg import errors
from psycopg.adapt import Transformer
from psycopg.pq import ConnStatus, DiagnosticField, ExecStatus
from psycopg.pq.abc import PGresult
from psycopg.waiting import Ready, Wait

from botwire_server.postgres import sql

if TYPE_CHECKING:
    from botwire_server.postgres.pool import BoundedConnection

__all__ = ["Wire"]

Value = str | int | float | None
Rows = list[tuple[Any, ...]]


class Wire:
    """A connection as the store uses it. Not to be used by two threads at a time."""

    def __init__(self, connection: "BoundedConnection") -> None:
        self.connection = connection
        self._pgconn = connection.pgconn
        self._pgconn.enter_pipeline_mode()
        self._transformer = Transformer(connection)
        self._names: dict[str, bytes] = {}  # of statements that are prepared
        self._prepared = 0
        self._queue: list[tuple[LiteralString, list[bytes | None] | None]] = []
        self._begun = False  # whether a transaction was begun that has not ended

    @property
    def lost(self) -> bool:
        """Whether the connection is no more."""
        return self._pgconn.status == ConnStatus.BAD

    def put(self, query: LiteralString, *values: Value) -> int:
        """Queue a statement; returns its number among those that `exchange` will send."""
        texts = [None if value is None else str(value).encode() for value in values]
        self._queue.append((query, texts))
        return len(self._queue) - 1

    def put_plain(self, query: LiteralString) -> None:
        """Queue a statement that takes no values and is not worth preparing."""
        self._queue.append((query, None))

    def exchange(self, *, end: bool = False) -> list[PGresult]:
        """Send what is queued and return the result of each statement.

        Args:
            end: the transaction (or a single statement without one) ends here.

        Raises:
            psycopg.Error: what the first statement that failed met; nothing after it has happened.
                Without `end` the connection is of no more use.
        """
        results, kept = self._begin(end)
        return _kept(self.connection.wait(results), kept)

    async def exchange_soon(self, *, end: bool = False) -> list[PGresult]:
        """As `exchange`, for an event loop: it does other things until the results are there."""
        results, kept = self._begin(end)
        return _kept(await self.connection.wait_soon(results), kept)

    def _begin(self, end: bool) -> tuple[Generator[Wait, Ready | int, list[PGresult]], list[bool]]:
        """Hand all that is queued to libpq: what sends it and gathers results, and which count."""
        queue, self._queue = self._queue, []
        self._begun = True
        kept: list[bool] = []  # whether it is the result of a statement (or of its preparation)
        new: list[str] = []
        for query, values in queue:
            if values is None:
                self._pgconn.send_query_params(query.encode(), None)
            else:
                name = self._names.get(query)
                if name is None:
                    name = self._names[query] = b"s%d" % self._prepared
                    self._prepared += 1
                    self._pgconn.send_prepare(name, _numbered(query))
                    kept.append(False)
                    new.append(query)
                self._pgconn.send_query_prepared(name, values)
            kept.append(True)
        if end:
            self._pgconn.pipeline_sync()
        else:
            self._pgconn.send_flush_request()
        return self._all_results(len(kept), end, new), kept

    def _all_results(
        self, count: int, end: bool, new: list[str]
    ) -> Generator[Wait, Ready | int, list[PGresult]]:
        try:
            results = yield from self._results(count, end)
        except psycopg.Error:
            for query in new:  # what follows a statement that fails is not prepared either
                del self._names[query]
            raise
        self._begun = not end
        return results

    def _results(self, count: int, end: bool) -> Generator[Wait, Ready | int, list[PGresult]]:
        pgconn = self._pgconn
        while pgconn.flush():
            if (yield Wait.RW) & Ready.R:
                pgconn.consume_input()
        results: list[PGresult] = []
        failed: psycopg.Error | None = None
        while len(results) < count + end:
            while pgconn.is_busy():
                yield Wait.R
                pgconn.consume_input()
            result = pgconn.get_result()
            if result is not None:  # else the end of one statement's results
                results.append(result)
                failed = failed or _error(result)
                if failed and not (end and _goes_on(result)):
                    raise failed
        if failed:  # all was read, so the connection can be used again
            raise failed
        return results

    def rows(self, result: PGresult) -> Rows:
        """The rows of a result as Python values."""
        self._transformer.set_pgresult(result)
        return self._transformer.load_rows(0, result.ntuples, tuple)

    def ask(self, query: LiteralString, *values: Value, end: bool = False) -> Rows:
        """Send a statement with all that is queued, and return its rows."""
        self.put(query, *values)
        return self.rows(self.exchange(end=end)[-1])

    def undo(self) -> bool:
        """Roll back; False when the connection cannot be used any more."""
        if not self._rolls_back():
            return True
        try:
            self.exchange(end=True)
        except psycopg.Error:
            return False
        return True

    async def undo_soon(self) -> bool:
        """As `undo`, for an event loop."""
        if not self._rolls_back():
            return True
        try:
            await self.exchange_soon(end=True)
        except psycopg.Error:
            return False
        return True

    def _rolls_back(self) -> bool:
        """Drop what is queued, and queue a rollback if something was sent that is to be undone."""
        self._queue.clear()
        if self._begun:
            self.put_plain(sql.ROLLBACK)
        return self._begun

    def close(self) -> None:
        """End the connection."""
        self.connection.close()


def _kept(results: list[PGresult], kept: list[bool]) -> list[PGresult]:
    return [result for result, wanted in zip(results, kept, strict=False) if wanted]


def _numbered(query: LiteralString) -> bytes:
    """The statement with its places as PostgreSQL names them: $1, $2..."""
    first, *rest = query.split("%s")
    return "".join([first, *(f"${n}{part}" for n, part in enumerate(rest, 1))]).encode()


def _error(result: PGresult) -> psycopg.Error | None:
    if result.status not in (ExecStatus.FATAL_ERROR, ExecStatus.PIPELINE_ABORTED):
        return None
    state = (result.error_field(DiagnosticField.SQLSTATE) or b"").decode()
    try:
        kind = errors.lookup(state)
    except KeyError:
        kind = psycopg.OperationalError
    return kind(result.get_error_message().strip())


def _goes_on(result: PGresult) -> bool:
    """Whether the connection goes on after this error."""
    severity = result.error_field(DiagnosticField.SEVERITY_NONLOCALIZED)
    return severity not in (b"FATAL", b"PANIC")
