"""Memory in one SQLite file (or in the process alone), with the standard library only.

- Readers have connections of their own and never wait for the writer; there is one writer at a
  time, in this process by the store's lock and between processes by SQLite's.
- A connection is closed only by who holds it: SQLite crashes when one is closed while it is in use.
- Every SQL text is a constant: no caller's text ever becomes SQL.
"""

import sqlite3
import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, LiteralString

from botwire.errors import BotWireError, Busy
from botwire.stores import sqlitefile
from botwire.stores.base import Chunk, Ledger, Limits, Mode, Row
from botwire.stores.store import Store

if TYPE_CHECKING:
    from botwire.operations import Operation

__all__ = ["SQLiteStore"]

_COLUMNS: LiteralString = (
    'key, value, version, bytes, created_at, updated_at, expires_at, ttl, sliding, head, mid, "end"'
)
# Few columns: turning them into Python objects costs as much as finding the row.
_GLANCE: LiteralString = """SELECT CASE WHEN bytes <= 65536 THEN value ELSE '' END, version,
    expires_at, sliding OR mid > head OR bytes > 65536
    FROM entries WHERE namespace = ? AND key = ?"""
_ROW: LiteralString = f"SELECT {_COLUMNS} FROM entries WHERE namespace = ? AND key = ?"
_ROWS: LiteralString = _ROW.replace("key = ?", "key IN ({})")
_SCAN: LiteralString = f"SELECT {_COLUMNS}"
# Long values stand on pages of their own, which a scan without them does not touch.
_SCAN_BARE: LiteralString = _SCAN.replace("value", "''", 1)
_SCANNED: LiteralString = """ FROM entries
    WHERE namespace = ? AND key >= ? AND key > ?
    AND (expires_at IS NULL OR expires_at > ?) AND version > ?"""
_SAVE: LiteralString = f"""INSERT INTO entries (namespace, {_COLUMNS})
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (namespace, key) DO UPDATE SET value = excluded.value, version = excluded.version,
    bytes = excluded.bytes, created_at = excluded.created_at, updated_at = excluded.updated_at,
    expires_at = excluded.expires_at, ttl = excluded.ttl, sliding = excluded.sliding,
    head = excluded.head, mid = excluded.mid, "end" = excluded."end" """
_EXPIRED: LiteralString = f"SELECT namespace, {_COLUMNS} FROM entries WHERE expires_at <= ? LIMIT ?"
_SAVE_LEDGER: LiteralString = """INSERT INTO namespaces VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT (namespace) DO UPDATE SET version = excluded.version, entries = excluded.entries,
    bytes = excluded.bytes, day = excluded.day, writes = excluded.writes"""


REST_SECONDS = 5.0  # how long a fork waits for readers
MANY = 100  # keys that one statement asks for

_inherited: list[sqlite3.Connection] = []  # kept for ever: closing them would disturb the parent


class SQLiteSession:
    """One transaction on one connection (see `botwire.stores.base.Session`)."""

    __slots__ = ("connection", "home")

    def __init__(
        self, connection: sqlite3.Connection, home: "list[SQLiteSession] | None" = None
    ) -> None:
        self.connection = connection
        self.home: list[SQLiteSession] = [] if home is None else home  # where it waits for work

    def glance(self, namespace: str, key: str) -> tuple[str, int, float | None, int] | None:
        return self.connection.execute(_GLANCE, (namespace, key)).fetchone()

    def row(self, namespace: str, key: str) -> Row | None:
        found = self.connection.execute(_ROW, (namespace, key)).fetchone()
        return None if found is None else Row._make(found)

    def rows(self, namespace: str, keys: Sequence[str]) -> list[Row]:
        found: list[Row] = []
        for start in range(0, len(keys), MANY):
            some = keys[start : start + MANY]
            marks: list[LiteralString] = ["?"] * len(some)
            asked = self.connection.execute(_ROWS.format(", ".join(marks)), (namespace, *some))
            found += map(Row._make, asked)
        return found

    def scan(
        self,
        namespace: str,
        first: str,
        last: str | None,
        *,
        exclusive: bool,
        limit: int,
        reverse: bool,
        newer_than: int,
        now: float,
        values: bool,
    ) -> list[Row]:
        sql: LiteralString = (_SCAN if values else _SCAN_BARE) + _SCANNED
        bounds: list[Any] = [namespace, first, first if exclusive else "", now, newer_than]
        if last is not None:
            sql += " AND key < ?"
            bounds.append(last)
        sql += " ORDER BY key DESC LIMIT ?" if reverse else " ORDER BY key LIMIT ?"
        return [Row._make(found) for found in self.connection.execute(sql, (*bounds, limit))]

    def chunks(self, namespace: str, key: str, first: int, last: int) -> list[Chunk]:
        found = self.connection.execute(
            # Chunks leave no gaps: the one that holds `first` is the last to start before it.
            "SELECT start, count, text FROM chunks WHERE namespace = ? AND key = ? AND start < ?"
            " AND start >= coalesce((SELECT max(start) FROM chunks"
            " WHERE namespace = ? AND key = ? AND start <= ?), 0) ORDER BY start",
            (namespace, key, last, namespace, key, first),
        )
        return [Chunk._make(chunk) for chunk in found]

    def ledger(self, namespace: str) -> Ledger | None:
        found = self.connection.execute(
            "SELECT version, entries, bytes, day, writes FROM namespaces WHERE namespace = ?",
            (namespace,),
        ).fetchone()
        return None if found is None else Ledger._make(found)

    def expired(self, now: float, limit: int, namespace: str | None) -> list[tuple[str, Row]]:
        found = self.connection.execute(_EXPIRED, (now, limit)).fetchall()
        return [(name, Row._make(row)) for name, *row in found if namespace in (None, name)]

    def expired_size(self, namespace: str, now: float) -> tuple[int, int]:
        return self.connection.execute(
            "SELECT count(*), coalesce(sum(bytes + length(CAST(key AS BLOB))), 0) FROM entries"
            # SQLite would walk the namespace; what is expired and not swept yet is little.
            " INDEXED BY entries_expiry WHERE expires_at <= ? AND namespace = ?",
            (now, namespace),
        ).fetchone()

    def recall(self, namespace: str, idempotency_key: str) -> tuple[str, str] | None:
        return self.connection.execute(
            "SELECT fingerprint, reply FROM replies WHERE namespace = ? AND idempotency_key = ?",
            (namespace, idempotency_key),
        ).fetchone()

    def namespaces(self, after: str, limit: int) -> list[str]:
        found = self.connection.execute(
            "SELECT namespace FROM namespaces WHERE namespace > ? ORDER BY namespace LIMIT ?",
            (after, limit),
        )
        return [name for (name,) in found]

    def save_rows(self, namespace: str, rows: Mapping[str, Row | None]) -> None:
        kept = [(namespace, *row) for row in rows.values() if row is not None]
        if kept:
            self.connection.executemany(_SAVE, kept)
        if len(kept) < len(rows):
            self.connection.executemany(
                "DELETE FROM entries WHERE namespace = ? AND key = ?",
                [(namespace, key) for key, row in rows.items() if row is None],
            )

    def save_chunk(self, namespace: str, key: str, chunk: Chunk) -> None:
        self.connection.execute(
            "INSERT INTO chunks VALUES (?, ?, ?, ?, ?)", (namespace, key, *chunk)
        )

    def remove_chunks(self, namespace: str, key: str, before: int | None) -> None:
        self.connection.execute(
            "DELETE FROM chunks WHERE namespace = ? AND key = ? AND start < ?",
            (namespace, key, 2**62 if before is None else before),
        )

    def save_ledger(self, namespace: str, ledger: Ledger) -> None:
        self.connection.execute(_SAVE_LEDGER, (namespace, *ledger))

    def remember(
        self, namespace: str, idempotency_key: str, fingerprint: str, reply: str, until: float
    ) -> None:
        self.connection.execute(
            "INSERT INTO replies VALUES (?, ?, ?, ?, ?)",
            (namespace, idempotency_key, fingerprint, reply, until),
        )

    def forget_replies(self, now: float, limit: int) -> int:
        # Replies are kept in the order they came, so the oldest are the first rows.
        return self.connection.execute(
            "DELETE FROM replies WHERE rowid IN (SELECT rowid FROM replies ORDER BY rowid LIMIT ?)"
            " AND expires_at <= ?",
            (limit, now),
        ).rowcount

    @contextmanager
    def savepoint(self) -> Generator[None]:
        self.connection.execute("SAVEPOINT part")
        try:
            yield
        except BaseException:
            if self.connection.in_transaction:  # SQLite ends it by itself when the disk is full
                self.connection.execute("ROLLBACK TO part")
                self.connection.execute("RELEASE part")
            raise
        self.connection.execute("RELEASE part")


class _Transaction:
    """Borrows a connection for one transaction. A class, since every read passes here."""

    __slots__ = ("_mode", "_session", "_store", "_wait")

    def __init__(self, store: "SQLiteStore", mode: Mode, wait: bool) -> None:
        self._store = store
        self._mode = mode
        self._wait = wait

    def __enter__(self) -> SQLiteSession:
        try:
            session = self._session = self._store.borrow(self._mode, self._wait)
        except sqlite3.Error as error:
            raise self._store.failure(error) from error
        try:
            if self._mode is Mode.WRITE:
                _begin(session.connection, self._wait)
            elif self._mode is Mode.SNAPSHOT:
                session.connection.execute("BEGIN")
            return session
        except BaseException as error:  # Ctrl-C comes when the lock that was waited for is taken
            self._give_up(session)
            if isinstance(error, sqlite3.Error):
                raise self._store.failure(error) from error
            raise

    def _give_up(self, session: SQLiteSession) -> None:
        try:
            if session.connection.in_transaction:
                session.connection.execute("ROLLBACK")
        finally:
            self._store.give_back(self._mode, session)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: object
    ) -> None:
        connection = self._session.connection
        try:
            if self._mode is not Mode.POINT:
                connection.execute("COMMIT" if error is None else "ROLLBACK")
        except sqlite3.Error as problem:
            with suppress(sqlite3.Error):  # SQLite has rolled back by itself after a full disk
                connection.execute("ROLLBACK")
            raise self._store.failure(
                error if isinstance(error, sqlite3.Error) else problem
            ) from problem
        finally:
            self._store.give_back(self._mode, self._session)
        if isinstance(error, sqlite3.Error):
            raise self._store.failure(error) from error


def _begin(connection: sqlite3.Connection, wait: bool) -> None:
    if connection.in_transaction:  # Ctrl-C came just before it would have ended
        connection.execute("ROLLBACK")
    if wait:
        connection.execute("BEGIN IMMEDIATE")
        return
    connection.execute("PRAGMA busy_timeout = 0")
    try:
        connection.execute("BEGIN IMMEDIATE")
    finally:
        connection.execute(sqlitefile.PATIENCE)


class SQLiteStore(Store):
    """Memory in the SQLite file at `path`; None keeps it in this process alone.

    >>> store = SQLiteStore(None)
    >>> store.namespaces()
    []
    """

    reads_in_line = True

    def __init__(
        self,
        path: str | Path | None,
        limits: Limits | None = None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        super().__init__(limits, clock)
        self.path = None if path is None else Path(path).expanduser().absolute()
        self._idle: list[SQLiteSession] = []
        self._asleep: list[SQLiteSession] = []  # the idle ones while a fork is under way
        self._all: list[sqlite3.Connection] = []
        self._writer: SQLiteSession | None = None
        # In the process alone there is one connection, and who uses it holds this lock. A write may
        # take it in one thread and give it back in another (see `begin`).
        self._only = threading.Lock()

    def session(self, mode: Mode, wait: bool = True) -> AbstractContextManager[SQLiteSession]:
        return _Transaction(self, mode, wait)

    def look(self, operation: "Operation") -> Any:
        """Answer from a glance at one row; the shortest way there is, since most reads take it."""
        try:
            session = self._idle.pop()
        except IndexError:
            return super().look(operation)
        try:
            return operation.look(session, self.clock)
        except sqlite3.Error as error:
            raise self.failure(error) from error
        finally:
            self._put_back(session)

    def borrow(self, mode: Mode, wait: bool) -> SQLiteSession:
        if self.path is None:
            return self._borrow_only(wait)
        if self._writer is None or mode is Mode.WRITE:
            with self._only:
                writer = self._open_writer()
            if mode is Mode.WRITE:
                return writer
        idle = self._idle
        try:
            return idle.pop()
        except IndexError:
            with self._only:  # while a fork is under way nobody opens another
                return SQLiteSession(self._connect(), idle)

    def _borrow_only(self, wait: bool) -> SQLiteSession:
        if not self._only.acquire(blocking=wait):
            raise Busy("another operation is under way in this memory")
        try:
            return self._open_writer()
        except BaseException:
            self._only.release()
            raise

    def give_back(self, mode: Mode, session: SQLiteSession) -> None:
        if self.path is None:
            self._only.release()
        elif mode is not Mode.WRITE:
            self._put_back(session)

    def _put_back(self, session: SQLiteSession) -> None:
        session.home.append(session)
        if session.home is not self._idle:  # the store was closed meanwhile
            self._close_all(session.home)

    def close(self) -> None:
        with self._lock, self._only:
            idle, self._idle = self._idle, []
            self._close_all(idle)
            writer, self._writer = self._writer, None
            if writer is not None:
                self._close(writer.connection)

    def _close_all(self, sessions: list[SQLiteSession]) -> None:
        while sessions:
            with suppress(IndexError):  # another thread was quicker
                self._close(sessions.pop().connection)

    def _close(self, connection: sqlite3.Connection) -> None:
        connection.close()
        self._all.remove(connection)  # only now, so that a fork waits for it

    def __del__(self) -> None:
        # Nobody can be using a connection: whoever does holds the store. Wrong arguments make none.
        for connection in getattr(self, "_all", ()):
            connection.close()

    def before_fork(self) -> None:
        super().before_fork()
        self._only.acquire()
        # SQLite has locks of its own. A child that inherits one which a reader held hangs for ever.
        deadline = time.monotonic() + REST_SECONDS
        while self.path is not None and len(self._asleep) < self._readers():
            try:
                self._asleep.append(self._idle.pop())
            except IndexError:
                if time.monotonic() > deadline:  # Ctrl-C hit a reader just when it took one
                    break
                time.sleep(0.001)

    def _readers(self) -> int:
        return len(self._all) - (self._writer is not None)

    def after_fork(self, child: bool) -> None:
        self._idle += self._asleep
        self._asleep.clear()
        self._only.release()
        if child and self.path is not None:  # SQLite connections must not be used across a fork
            _inherited.extend(self._all)
            self._all, self._idle, self._writer = [], [], None
        super().after_fork(child)

    def backup(self, target: str | Path) -> None:
        """Copy everything into a new SQLite file while others go on reading and writing."""
        with self.session(Mode.POINT) as session, closing(sqlite3.connect(target)) as copy:
            session.connection.backup(copy)

    def _open_writer(self) -> SQLiteSession:
        """The writer's connection, opened if it is not. Whoever calls this holds `_only`."""
        if self._writer is None:
            connection = self._connect()
            try:
                sqlitefile.prepare(connection, self.path)
            except BaseException:  # it would keep its locks
                self._close(connection)
                raise
            self._writer = SQLiteSession(connection)
        return self._writer

    def _connect(self) -> sqlite3.Connection:
        connection = sqlitefile.connect(self.path)
        self._all.append(connection)
        return connection

    def failure(self, error: sqlite3.Error) -> BotWireError:
        """What an error of the engine means for the caller."""
        return sqlitefile.failure(error, self.path)
