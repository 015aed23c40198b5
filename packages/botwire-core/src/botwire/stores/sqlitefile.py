"""The file that memory is kept in: how it is made, opened and recognized, and what its errors mean.

- WAL, and a full sync at every commit: an acknowledged write survives power loss.
- A file that is no memory is refused before anything in it is touched.
- Locks of others are waited for (`BUSY_SECONDS`); what is still locked then is `Busy`.
"""

import errno
import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from botwire.errors import BotWireError, Busy, StorageFull, Unavailable

__all__ = ["PATIENCE", "connect", "failure", "prepare"]

BUSY_SECONDS = 30.0
PATIENCE = f"PRAGMA busy_timeout = {int(BUSY_SECONDS * 1000)}"
T = TypeVar("T")
FORMAT = 1  # PRAGMA user_version of the files this code reads and writes

# `version` orders all changes of a namespace, so a log of changes can be added beside `entries`
# (namespace, version, key, ...) without touching what is here.
SCHEMA = """
CREATE TABLE namespaces (
    namespace TEXT PRIMARY KEY, version INTEGER NOT NULL, entries INTEGER NOT NULL,
    bytes INTEGER NOT NULL, day INTEGER NOT NULL, writes INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE entries (
    namespace TEXT NOT NULL, key TEXT NOT NULL, version INTEGER NOT NULL, bytes INTEGER NOT NULL,
    created_at REAL NOT NULL, updated_at REAL NOT NULL, expires_at REAL, ttl REAL,
    sliding INTEGER NOT NULL, head INTEGER NOT NULL, mid INTEGER NOT NULL, "end" INTEGER NOT NULL,
    value TEXT NOT NULL, PRIMARY KEY (namespace, key)
);
CREATE INDEX entries_expiry ON entries (expires_at) WHERE expires_at IS NOT NULL;
CREATE TABLE chunks (
    namespace TEXT NOT NULL, key TEXT NOT NULL, start INTEGER NOT NULL, count INTEGER NOT NULL,
    text TEXT NOT NULL, PRIMARY KEY (namespace, key, start)
);
CREATE TABLE replies (
    namespace TEXT NOT NULL, idempotency_key TEXT NOT NULL, fingerprint TEXT NOT NULL,
    reply TEXT NOT NULL, expires_at REAL NOT NULL, PRIMARY KEY (namespace, idempotency_key)
);
"""


def connect(path: Path | None) -> sqlite3.Connection:
    """A new connection to the file, which is made if need be; None: to nothing but memory."""
    if path is not None:
        _make_private_file(path)
    connection = sqlite3.connect(
        ":memory:" if path is None else path,
        timeout=BUSY_SECONDS,
        isolation_level=None,  # transactions are begun and ended by the store, not by the driver
        check_same_thread=False,
    )
    try:
        connection.execute("PRAGMA synchronous = FULL")
    except BaseException:
        connection.close()
        raise
    return connection


def _make_private_file(path: Path) -> None:
    """What agents remember is nobody else's to read: the file is made for its owner alone."""
    if path.exists():
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise _full(path, error) from error
        raise _unusable(path, f"{error.strerror}: {error.filename}") from error


def prepare(connection: sqlite3.Connection, path: Path | None) -> None:
    """Make the tables if the file is new; refuse it if it is something else."""
    if not _patiently(lambda: _is_ours(connection, path)):
        if path is not None:
            _patiently(lambda: connection.execute("PRAGMA journal_mode = WAL"))
        _make_tables(connection)


def _is_ours(connection: sqlite3.Connection, path: Path | None) -> bool:
    """True: a memory; False: an empty file; everything else is refused."""
    found = _format(connection)
    if found == FORMAT:
        return True
    if found:
        raise Unavailable(
            f"{path} has format {found}; this version of BotWire reads format {FORMAT}",
            hint="Upgrade BotWire: pip install -U botwire",
        )
    if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        if _format(connection) == FORMAT:  # another process made them between the two looks
            return True
        raise _unusable(path, "it is the database of another application")
    return False


def _make_tables(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")
    # Another process may have made the tables while this one waited for the lock.
    if _format(connection) == 0:
        for statement in SCHEMA.split(";"):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {FORMAT}")
    connection.execute("COMMIT")


def _format(connection: sqlite3.Connection) -> int:
    return connection.execute("PRAGMA user_version").fetchone()[0]


def _patiently(act: Callable[[], T]) -> T:
    """Repeat while another process opens the same new file; SQLite does not wait for that."""
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            return act()
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def failure(error: sqlite3.Error, path: Path | None) -> BotWireError:
    """What an error of the engine means for the caller."""
    name = getattr(error, "sqlite_errorname", "")
    if name.startswith(("SQLITE_FULL", "SQLITE_IOERR_WRITE")):
        return _full(path, error)
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return Busy(
            f"{_place(path)} was locked by another process for more than {BUSY_SECONDS:.0f} s",
            hint="Try again; if it stays so, look for a process that keeps a transaction open.",
        )
    return _unusable(path, f"{error} ({name or type(error).__name__})")


def _place(path: Path | None) -> str:
    return "memory" if path is None else str(path)


def _full(path: Path | None, error: Exception) -> StorageFull:
    return StorageFull(
        f"{_place(path)} cannot grow: {error}; nothing was changed",
        hint="Free disk space (or raise the quota), then try again; no restart is needed.",
    )


def _unusable(path: Path | None, reason: str) -> Unavailable:
    return Unavailable(
        f"{_place(path)} cannot be used: {reason}",
        hint="Check that it is a BotWire memory and can be read and written: botwire doctor",
    )
