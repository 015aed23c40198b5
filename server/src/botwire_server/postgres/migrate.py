"""Bring the schema up to date: the numbered files of `migrations/`, each once, under a lock.

All run in one transaction, so a database is never half-way. Within a hundred of numbers migrations
only add, so that a server of an older version goes on working beside a newer schema; a change that
older servers could not bear begins the next hundred, and they then refuse the database.
"""

from importlib.resources import files
from typing import Any, LiteralString, NamedTuple, cast

import psycopg
from psycopg import Connection, errors
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from botwire.errors import Unavailable
from botwire.runners import public_url
from botwire_server.postgres.failures import failure
from botwire_server.postgres.pool import PARAMETERS, split_url

__all__ = ["Migrated", "migrate", "migrate_database", "migrations"]

# An arbitrary number that names the lock; it ends with the transaction.
_LOCK: LiteralString = "SELECT pg_advisory_xact_lock(7014202621)"
_PLACE: LiteralString = "CREATE SCHEMA IF NOT EXISTS botwire"
_TABLE: LiteralString = """CREATE TABLE IF NOT EXISTS botwire.migrations (
    number integer PRIMARY KEY, name text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now())"""
_APPLIED: LiteralString = "SELECT coalesce(max(number), 0) FROM botwire.migrations"


def migrations() -> list[tuple[int, str, LiteralString]]:
    """(number, name, SQL) of every migration, in order.

    >>> migrations()[0][:2]
    (1, '0001_memory')
    """
    folder = files("botwire_server") / "migrations"
    found = sorted(file.name for file in folder.iterdir() if file.name.endswith(".sql"))
    return [
        (int(name[:4]), name.removesuffix(".sql"), cast("LiteralString", _text(folder, name)))
        for name in found
    ]


def _text(folder: Any, name: str) -> str:
    return (folder / name).read_text(encoding="utf-8")


def migrate(connection: Connection[Any]) -> list[str]:
    """Apply what is missing, and return its names.

    Raises:
        Unavailable: the database is of a newer version, or its texts are not UTF-8.
    """
    wanted = migrations()
    number, newest = _number(connection), wanted[-1][0]
    if number >= newest:
        _check_generation(number, newest)
        return []
    _check_encoding(connection)
    with connection.transaction():
        connection.execute(_LOCK)
        connection.execute(_PLACE)
        connection.execute(_TABLE)
        number = _number(connection)
        missing = [migration for migration in wanted if migration[0] > number]
        for number, name, text in missing:
            connection.execute(text, prepare=False)
            connection.execute(
                "INSERT INTO botwire.migrations (number, name) VALUES (%s, %s)", [number, name]
            )
    return [name for _, name, _ in missing]


class Migrated(NamedTuple):
    """The names of the migrations that were applied, and the number of the schema there is now."""

    applied: list[str]
    number: int


def migrate_database(url: str) -> Migrated:
    """Bring the database at `url` up to date, however long that takes.

    Servers do it, too, when they start; there a statement may take some seconds only, which is not
    enough to change large tables.

    Raises:
        StorageFull, Unavailable: nothing was changed.
    """
    conninfo = make_conninfo("", **{**PARAMETERS, **conninfo_to_dict(split_url(url)[0])})
    try:
        with psycopg.connect(conninfo, autocommit=True) as connection:
            return Migrated(migrate(connection), _number(connection))
    except psycopg.Error as error:
        raise failure(error, public_url(url)) from error


def _number(connection: Connection[Any]) -> int:
    try:
        found = connection.execute(_APPLIED).fetchone()
    except (errors.UndefinedTable, errors.InvalidSchemaName):
        return 0
    return found[0] if found else 0


def _check_generation(number: int, newest: int) -> None:
    if number // 100 > newest // 100:
        raise Unavailable(
            f"the database has schema {number}; this version of BotWire works on schemas below"
            f" {(newest // 100 + 1) * 100}",
            hint="Upgrade BotWire: pip install -U botwire",
        )


def _check_encoding(connection: Connection[Any]) -> None:
    encoding = connection.execute("SHOW server_encoding").fetchone()
    if encoding != ("UTF8",):
        raise Unavailable(
            f"the database stores texts as {encoding[0] if encoding else 'unknown'}, not UTF-8",
            hint="Make one that does: createdb -E UTF8 -T template0 botwire",
        )
