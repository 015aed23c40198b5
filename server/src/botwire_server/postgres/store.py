"""The PostgreSQL store: which transaction an operation runs in, and how often it is tried.

- The time is the database's, read with the first rows of each transaction (or estimated, and
  compared by it), so that all servers agree on what has expired; it never runs backwards
  (docs/decisions/014-the-time-of-the-database.md).
- Writes of several namespaces share a transaction, and several such groups run at a time.
- What this process wrote last it knows: on an event loop such writes are first tried without
  reading anything.
- A transaction that failed before its commit was sent is tried again, on a new connection where the
  old one broke. What was lost during the commit is not repeated here, because it may have happened:
  the caller repeats it with the same idempotency key.
"""

import logging
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import psycopg
from psycopg import Connection

from botwire.errors import BotWireError
from botwire.runners import public_url
from botwire.stores.base import Escalate, Limits, Mode, Session
from botwire.stores.space import Space
from botwire.stores.store import SWEEP_EVERY, Once, Store, Ticket
from botwire_server.postgres import sql
from botwire_server.postgres.clock import ClockSetBack, DatabaseTime
from botwire_server.postgres.failures import failure, passes, unknown_outcome
from botwire_server.postgres.known import Guess, Known, Place
from botwire_server.postgres.migrate import migrate
from botwire_server.postgres.pool import Pool, lock_timeout, split_url
from botwire_server.postgres.session import PostgresSession
from botwire_server.postgres.sweep import discards
from botwire_server.postgres.wire import Wire
from botwire_server.postgres.writers import Writers

if TYPE_CHECKING:
    from botwire.operations import Operation

__all__ = ["PostgresStore"]

CONNECTIONS = 12  # of one process, unless its URL says otherwise
LANES = 4  # groups of writes that are committed at a time
TRIES = 3
SOME_TIME = 0.5  # seconds in line, from which on less is left to wait for a lock
SWEEP_ROWS = 1000

Result = TypeVar("Result")

log = logging.getLogger("botwire.postgres")


class _Again(Exception):
    """The transaction was undone and may succeed when repeated; else `error` says what happened."""

    def __init__(self, error: BotWireError) -> None:
        self.error = error


class _GuessedWrong(Exception):
    """A namespace is not as it was known; nothing was changed."""


class PostgresStore(Store):
    """Memory in the PostgreSQL database at `url` (`postgresql://user@host/database`).

    The schema is made and brought up to date by the first connection. The number of connections
    stands in the URL: `?pool_size=20`; all other parameters are the driver's.
    """

    lanes: ClassVar[int] = LANES
    reads_together: ClassVar[bool] = True

    def __init__(
        self,
        url: str,
        limits: Limits | None = None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        super().__init__(limits, clock)
        conninfo, size = split_url(url)
        self.place = public_url(conninfo)
        self.pool = Pool(conninfo, size or CONNECTIONS, self._prepare)
        self.migrated: list[str] = []  # what the schema lacked until now
        self._time = DatabaseTime(clock)
        self._begin()

    def _begin(self) -> None:
        self._known = Known()
        self._losses = 0  # of connections, when `_known` was empty
        self._writers = Writers(LANES)

    def _prepare(self, connection: Connection[Any]) -> None:
        self.migrated += migrate(connection)
        found = connection.execute(sql.SEEN).fetchone()
        self._time.floor = max(self._time.floor, found[0] if found else 0.0)

    # -- transactions --------------------------------------------------------------------------

    @contextmanager
    def session(self, mode: Mode, wait: bool = True) -> Generator[Session]:
        try:
            with self._transaction(mode) as session:
                yield session
        except _Again as again:
            raise again.error from again

    @contextmanager
    def _transaction(self, mode: Mode) -> Generator[PostgresSession]:
        wire = self._take()
        session = PostgresSession(wire, self._time, single=mode is Mode.POINT)
        whole, committing = False, False
        try:
            if mode is not Mode.POINT:
                wire.put_plain(sql.BEGIN if mode is Mode.WRITE else sql.BEGIN_SNAPSHOT)
            yield session
            if mode is not Mode.POINT:
                session.send()
                committing = mode is Mode.WRITE
                wire.put_plain(sql.COMMIT)
                wire.exchange(end=True)
            whole = True
        except psycopg.Error as error:
            raise self._meaning(error, wire.lost, committing) from error
        except BaseException:
            whole = not wire.lost and (mode is Mode.POINT or wire.undo())
            raise
        finally:
            self.pool.give_back(wire, whole=whole)

    def _take(self) -> Wire:
        try:
            return self.pool.take()
        except psycopg.Error as error:
            raise failure(error, self.place) from error

    def _meaning(self, error: psycopg.Error, lost: bool, committing: bool) -> Exception:
        if committing and _unsettled(error, lost):
            return unknown_outcome(self.place)
        meaning = failure(error, self.place)
        return _Again(meaning) if passes(error, lost) else meaning

    def _tried(self, act: Callable[[], Result]) -> Result:
        for attempt in range(TRIES):
            try:
                return act()
            except _Again as again:
                if attempt + 1 == TRIES:
                    raise again.error from again
            except ClockSetBack:
                self._push_time()
        raise AssertionError("unreachable")

    def _push_time(self) -> None:
        """Let the time of all servers go on from where it was."""
        with self._transaction(Mode.POINT) as session:
            session.wire.ask(sql.PUSH_TIME, self._time.floor, end=True)

    def space(self, session: Session, namespace: str, mode: Mode) -> Space:
        now = session.now if isinstance(session, PostgresSession) else self.clock()
        return Space(session, namespace, mode, now, self.limits)

    # -- reading -------------------------------------------------------------------------------

    def look(self, operation: "Operation") -> Any:
        raise Escalate(operation.mode)  # `read` needs one round trip as well, and does more

    def read(self, operation: "Operation", mode: Mode) -> Any:
        return self._tried(lambda: self._read(operation, mode))

    def _read(self, operation: "Operation", mode: Mode) -> Any:
        with self._transaction(mode) as session:
            session.load([(operation.namespace, key) for key in operation.keys])
            return operation.apply(self.space(session, operation.namespace, mode))

    def read_together(self, tickets: Sequence[Ticket]) -> None:
        self._tried(lambda: self._read_group(tickets))

    def _read_group(self, tickets: Sequence[Ticket]) -> None:
        with self._transaction(Mode.POINT) as session:
            session.load(_places(tickets), small=True)
            self._apply_reads(session, tickets)

    async def read_together_soon(self, tickets: Sequence[Ticket]) -> bool:
        wire = self.pool.take_open()
        if wire is None:
            return False
        whole = False
        try:
            session = PostgresSession(wire, self._time, single=True, waits=False)
            session.ask_rows(_places(tickets), small=True)
            session.take_rows(await wire.exchange_soon(end=True))
            whole = True
        except Exception:
            return False  # `read_together` will meet it again, and knows what to do
        finally:
            self.pool.give_back(wire, whole=whole)
        self._apply_reads(session, tickets)
        return True

    def _apply_reads(self, session: PostgresSession, tickets: Sequence[Ticket]) -> None:
        for ticket in tickets:
            try:
                ticket.reply = self._apply_read(session, ticket.operation)
            except Exception as error:  # its own: all rows are here, so nothing more is sent
                ticket.fail(error)

    def _apply_read(self, session: PostgresSession, operation: "Operation") -> Any:
        row = session.row(operation.namespace, operation.keys[0])
        if row is not None and not row.value:
            raise Escalate(operation.mode)  # too large to be read with others
        return operation.apply(self.space(session, operation.namespace, Mode.POINT))

    def namespaces(self, after: str = "", limit: int = 1000) -> list[str]:
        return self._tried(lambda: self._namespaces(after, limit))

    def _namespaces(self, after: str, limit: int) -> list[str]:
        with self._transaction(Mode.POINT) as session:
            return session.namespaces(after, limit)

    # -- writing -------------------------------------------------------------------------------

    def write(self, operation: "Operation", once: Once | None = None) -> Any:
        ticket = Ticket(operation, once)
        self._writers.write(ticket, self._commit)
        self._sweep_now_and_then()
        return ticket.result()

    def commit(self, tickets: Sequence[Ticket]) -> Sequence[Ticket]:
        return self._commit(tickets)  # without the lock of the one line

    def begin(self, tickets: Sequence[Ticket]) -> Callable[[], None] | None:
        return None  # an event loop must not wait for the network

    def _transact(self, tickets: Sequence[Ticket]) -> Sequence[Ticket]:
        return self._tried(lambda: self._group(tickets))

    def _group(self, tickets: Sequence[Ticket]) -> Sequence[Ticket]:
        with self._transaction(Mode.WRITE) as session:
            held = session.hold(*self._wanted(session, tickets))
            self._apply(session, [t for t in tickets if t.operation.namespace in held])
        session.teach(self._known)
        return _held_up(tickets, held)

    async def commit_soon(self, tickets: Sequence[Ticket]) -> Sequence[Ticket] | None:
        try:
            return await self._group_soon(tickets, guessing=True)
        except _GuessedWrong:
            self._known.judge(right=False)
            return await self._group_soon(tickets, guessing=False)

    async def _group_soon(
        self, tickets: Sequence[Ticket], *, guessing: bool
    ) -> Sequence[Ticket] | None:
        wire = self.pool.take_open()
        if wire is None:
            return None
        whole, committing = False, False
        try:
            session = PostgresSession(wire, self._time, single=False, waits=False)
            wire.put_plain(sql.BEGIN)
            guess = self._guess(tickets) if guessing else None
            if guess:
                session.assume(guess, _onces(tickets))
            else:
                await self._hold_soon(session, tickets)
            held = session.held
            self._apply(session, [t for t in tickets if t.operation.namespace in held])
            session.send()
            wire.put_plain(sql.COMMIT)
            committing = True
            await wire.exchange_soon(end=True)
            whole = True
        except Exception as error:
            if committing and _unsettled(error, wire.lost):
                for ticket in tickets:
                    ticket.fail(unknown_outcome(self.place))
                return ()
            whole = not wire.lost and await wire.undo_soon()
            if guessing and isinstance(error, sql.CHECK_FAILED):
                raise _GuessedWrong from error
            return None  # `commit` will meet it again, and knows what to do
        finally:
            self.pool.give_back(wire, whole=whole)
        session.teach(self._known)
        for ticket in tickets:
            ticket.done = ticket.operation.namespace in held
        return _held_up(tickets, held)

    async def _hold_soon(self, session: PostgresSession, tickets: Sequence[Ticket]) -> None:
        session.ask_hold(*self._wanted(session, tickets))
        missing = session.take_hold(await session.wire.exchange_soon())
        if missing:
            session.ask_created(missing)
            session.take_created(await session.wire.exchange_soon())

    def _guess(self, tickets: Sequence[Ticket]) -> Guess | None:
        """What these writes would load, if all of it is known."""
        if self._losses != self.pool.losses:  # its address may lead to another database now
            self._losses = self.pool.losses
            self._known.forget()
        now = self._time.estimate()
        if now is None or any(ticket.held_up for ticket in tickets):
            return None
        return self._known.guess(_names(tickets), _rows_named(tickets), now)

    def _wanted(
        self, session: PostgresSession, tickets: Sequence[Ticket]
    ) -> tuple[list[str], list[Place], list[Place], bool]:
        """What to hold for these tickets, in the order of `PostgresSession.hold`."""
        waited = time.monotonic() - min(ticket.since for ticket in tickets)
        if waited > SOME_TIME:  # in line behind others that waited for locks
            session.wire.put(sql.LOCK_TIMEOUT, lock_timeout(waited))
        names = _names(tickets)
        return (
            names,
            _rows_named(tickets),
            _onces(tickets),
            len(names) == 1 and any(ticket.held_up for ticket in tickets),
        )

    # -- sweeping ------------------------------------------------------------------------------

    def _sweep_if_due(self, session: Session) -> None:
        """Not within a group: it would take locks that the group does not need."""

    def _sweep_now_and_then(self) -> None:
        now = time.monotonic()
        if now - self._swept_at >= SWEEP_EVERY:
            self._swept_at = now
            try:
                self._sweep_some()
            except BotWireError as error:  # the write before it stands; the next sweep does it
                log.warning("sweeping failed: %s", error.detail)

    def sweep(self) -> None:
        while self._sweep_some():
            pass

    def _sweep_some(self) -> bool:
        """Free some space; True when there is more and something was freed."""
        expired, forgotten = self._tried(self._forget)
        tickets = [Ticket(operation) for operation in discards(expired)]
        held_up = self.commit(tickets) if tickets else ()
        swept = sum(ticket.result()["deleted"] for ticket in tickets if ticket not in held_up)
        return forgotten == SWEEP_ROWS or (len(expired) == SWEEP_ROWS and swept > 0)

    def _forget(self) -> tuple[list[tuple[str, Any]], int]:
        with self._transaction(Mode.POINT) as session:
            session.load([])
            session.wire.ask(sql.NOTE_TIME, end=True)
            expired = session.expired(session.now, SWEEP_ROWS, None)
            return expired, session.forget_replies(session.now, SWEEP_ROWS)

    # -- the end, and forks --------------------------------------------------------------------

    def close(self) -> None:
        self.pool.close()

    def before_fork(self) -> None:
        self._writers.turn.acquire()

    def after_fork(self, child: bool) -> None:
        self._writers.turn.release()
        if child:
            self.pool.after_fork()
            self._begin()


def _unsettled(error: Exception, lost: bool) -> bool:
    """Whether a commit may have happened: only the database can say that it has not."""
    return lost or getattr(error, "sqlstate", None) is None


def _places(tickets: Sequence[Ticket]) -> list[Place]:
    return [(ticket.operation.namespace, ticket.operation.keys[0]) for ticket in tickets]


def _names(tickets: Sequence[Ticket]) -> list[str]:
    return sorted({ticket.operation.namespace for ticket in tickets})


def _rows_named(tickets: Sequence[Ticket]) -> list[Place]:
    return [(t.operation.namespace, key) for t in tickets for key in t.operation.keys]


def _onces(tickets: Sequence[Ticket]) -> list[Place]:
    return [(t.operation.namespace, t.once.key) for t in tickets if t.once]


def _held_up(tickets: Sequence[Ticket], held: set[str]) -> list[Ticket]:
    left = [ticket for ticket in tickets if ticket.operation.namespace not in held]
    for ticket in left:
        ticket.held_up += 1
    return left
