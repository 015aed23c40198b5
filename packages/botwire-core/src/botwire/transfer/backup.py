"""A copy of a SQLite file while others use it."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from botwire.errors import InvalidRequest, StorageFull
from botwire.runners import open_store, public_url
from botwire.stores.sqlite import SQLiteStore

__all__ = ["backup"]


def backup(url: str, target: Path) -> int:
    """Copy the memory at `sqlite:///...` into a new file, as it is at one moment.

    Nobody who reads or writes has to wait. The file appears when it is complete, checked and on
    disk, and is itself a memory: `sqlite:///<target>`.

    Returns:
        The size of the file in bytes.

    Raises:
        InvalidRequest: `url` is no SQLite file, or `target` exists.
    """
    source = open_store(url) if url.startswith("sqlite:") else None
    if not isinstance(source, SQLiteStore) or source.path is None:
        raise InvalidRequest(
            f"{public_url(url)} is no SQLite file",
            hint="PostgreSQL has pg_dump; from a server: botwire export --url URL > FILE",
        )
    try:
        if not source.path.exists():
            raise InvalidRequest(f"there is no file {source.path}")
        part = target.with_name(f"{target.name}.part")
        _make(part, target)
        try:
            _refuse_existing(target)  # asked last: another backup may have become it just now
            source.backup(part)
            _check(part)
            part.replace(target)
        except sqlite3.Error as error:
            raise StorageFull(f"{target} cannot be written: {error}") from error
        finally:
            part.unlink(missing_ok=True)
    finally:
        source.close()
    return target.stat().st_size


def _make(part: Path, target: Path) -> None:
    """Make the file that becomes the backup; while it exists it is this backup's alone."""
    try:
        os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))  # its owner's to read
    except FileExistsError:
        raise InvalidRequest(
            f"{part} exists: another backup is under way, or one was broken off",
            hint="Wait for it, name another file, or remove that one.",
        ) from None
    except OSError as error:
        raise InvalidRequest(
            f"{target} cannot be made: {error.strerror}", hint="Choose another place."
        ) from error


def _refuse_existing(target: Path) -> None:
    if target.exists():
        raise InvalidRequest(
            f"{target} exists", hint="A backup does not overwrite; name it by date, for example."
        )


def _check(path: Path) -> None:
    """The copy must be whole and on disk."""
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute("PRAGMA quick_check").fetchone()[0]
    if found != "ok":
        raise sqlite3.DatabaseError(f"the copy is damaged: {found}")
    with path.open("rb+") as file:
        os.fsync(file.fileno())
