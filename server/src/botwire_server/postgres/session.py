"""One transaction on PostgreSQL (see `botwire.stores.base.Session`).

- What asks the database comes in two halves: `ask_...` queues statements and `take_...` reads their
  results, so that an event loop can do other things in between.
- A read loads what it needs together with the time, in one round trip.
- A write locks its namespaces, loads all rows and replies that its operations name, and keeps what
  they change to itself until somebody must see it or the transaction ends: a whole group of writes
  then costs two round trips, whatever their number; and one where all that it would load is known.
"""

from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, LiteralString, NamedTuple

import psycopg
from psycopg.pq.abc import PGresult

from botwire.stores.base import Chunk, Ledger, Row
from botwire_server.postgres import sql
from botwire_server.postgres.changes import Changes
from botwire_server.postgres.clock import DatabaseTime
from botwire_server.postgres.known import Guess, Known, Place
from botwire_server.postgres.sql import numbers, texts
from botwire_server.postgres.wire import Rows, Value, Wire

__all__ = ["PostgresSession", "WouldWait"]


class WouldWait(Exception):
    """An event loop has no time to ask the database for this; nothing was changed."""


class _Hold(NamedTuple):
    """What is asked for by `ask_hold`, and the number of its first statement."""

    names: list[str]
    places: list[Place]
    onces: list[Place]
    wait: bool
    first: int


class PostgresSession:
    """Rows in, rows out, within the transaction that was begun on `wire`.

    Args:
        single: there is no transaction; each statement stands for itself.
        waits: False on an event loop: what takes another exchange raises `WouldWait`.
        time: what is known of the database's.
    """

    def __init__(
        self,
        wire: Wire,
        time: DatabaseTime,
        *,
        single: bool,
        waits: bool = True,
    ) -> None:
        self.wire = wire
        self._single = single
        self._waits = waits
        self._asked: Sequence[Place] = ()
        self.now = 0.0
        self._time = time
        self._floor = time.floor
        self._rows: dict[Place, Row | None] = {}
        self._found: dict[str, Ledger] = {}  # of the namespaces that are locked, as they were
        self._ledgers: dict[str, Ledger] = {}
        self._guessed = False
        self._replies: dict[Place, tuple[str, str] | None] = {}
        self._layers = [Changes()]  # the newest last; those that were sent stay, to be looked at
        self._savepoints: list[_Savepoint] = []

    # -- beginning -----------------------------------------------------------------------------

    def load(self, places: Sequence[Place], *, small: bool = False) -> None:
        """Read the time and these rows, for a transaction that only reads.

        `small`: where several are read, large values are left out: they are '' then.
        """
        self.ask_rows(places, small=small)
        self.take_rows(self.wire.exchange(end=self._single))

    def ask_rows(self, places: Sequence[Place], *, small: bool = False) -> None:
        """Queue what `take_rows` reads."""
        self._asked = list(dict.fromkeys(places))
        if len(self._asked) == 1:
            self.wire.put(sql.READ, *self._asked[0])
        else:
            self._put_read(sql.READ_SMALL if small else sql.READ_MANY, self._asked)

    def take_rows(self, results: Sequence[PGresult]) -> None:
        self._take_read(self._asked, self.wire.rows(results[-1]))

    def _take_read(self, places: Sequence[Place], found: Rows) -> None:
        if places:
            self._keep_rows(places, [row[1:] for row in found if row[1] is not None])
        self.now = self._time.see(found[0][0], self._floor)

    def hold(
        self, names: Sequence[str], places: Iterable[Place], onces: Iterable[Place], wait: bool
    ) -> set[str]:
        """Lock these namespaces and load what is named; returns those that are held now.

        With `wait` all of them are, or it fails; otherwise those that others hold are left out.
        """
        self.ask_hold(names, places, onces, wait)
        missing = self.take_hold(self.wire.exchange())
        if missing:
            self.ask_created(missing)
            self.take_created(self.wire.exchange())
        return self.held

    def ask_hold(
        self, names: Sequence[str], places: Iterable[Place], onces: Iterable[Place], wait: bool
    ) -> None:
        """Queue what `take_hold` reads."""
        names = sorted(names)
        places, onces = list(dict.fromkeys(places)), list(dict.fromkeys(onces))
        first = self.wire.put(sql.LOCK if wait else sql.LOCK_FREE, texts(names))
        # Each statement sees what was committed before it, so these see what the locks guard.
        self._put_read(sql.READ_MANY, places)
        self._put_pairs(sql.RECALL_MANY, onces)
        self._asked_for = _Hold(names, places, onces, wait, first)

    def _put_read(self, query: LiteralString, places: Sequence[Place]) -> None:
        if places:
            self._put_pairs(query, places)
        else:
            self.wire.put(sql.NOW)

    def _put_pairs(self, query: LiteralString, pairs: Sequence[Place]) -> None:
        if pairs:
            names, keys = zip(*pairs, strict=True)
            self.wire.put(query, texts(names), texts(keys))

    def take_hold(self, results: Sequence[PGresult]) -> list[str]:
        """Keep what was found; returns the namespaces that are new, or held by others."""
        names, places, onces, _, first = self._asked_for
        found = iter([self.wire.rows(result) for result in results[first:]])
        self._ledgers.update((name, Ledger._make(ledger)) for name, *ledger in next(found))
        self._found.update(self._ledgers)
        self._take_read(places, next(found))
        self._replies.update(dict.fromkeys(onces))
        for name, key, mark, reply in next(found) if onces else []:
            self._replies[name, key] = (mark, reply)
        return [name for name in names if name not in self._ledgers]

    def ask_created(self, names: Sequence[str]) -> None:
        """Make rows for new namespaces. Without a row they held nothing that was to be loaded."""
        self.wire.put(sql.CREATE_NAMESPACES, texts(names))

    def take_created(self, results: Sequence[PGresult]) -> None:
        self._ledgers.update((name, Ledger()) for (name,) in self.wire.rows(results[-1]))
        self._found.update(self._ledgers)
        names, places, onces, wait, _ = self._asked_for
        left = {name for name in names if name not in self._ledgers}
        if wait and left:  # somebody else made them at the same moment
            self._must_wait()
            self.hold(
                sorted(left),
                [place for place in places if place[0] in left],
                [once for once in onces if once[0] in left],
                wait,
            )

    @property
    def held(self) -> set[str]:
        """The namespaces that are locked."""
        return set(self._found)

    def assume(self, guess: Guess, onces: Iterable[Place]) -> None:
        """Begin with what is known instead of asking, and queue what checks it.

        The transaction fails as a whole if it is wrong, or if one of `onces` was used before.
        """
        self._guessed = True
        self.now = guess.now
        self._rows = guess.rows
        self._found = guess.ledgers
        self._ledgers = dict(guess.ledgers)
        columns = map(numbers, zip(*guess.ledgers.values(), strict=True))
        names = texts(list(guess.ledgers))
        given = len(guess.ledgers), guess.now, self._time.close
        self.wire.put(sql.CHECK_KNOWN, *given, names, *columns)
        onces = list(dict.fromkeys(onces))
        self._put_pairs(sql.CHECK_NEW_KEYS, onces)
        self._replies.update(dict.fromkeys(onces))

    def teach(self, known: Known) -> None:
        """Tell what the transaction has found out, once it is committed."""
        if self._guessed:
            known.judge(right=True)
        known.learn(self._found, self._ledgers, self._rows)

    def _keep_rows(self, places: Iterable[Place], found: Rows) -> None:
        self._rows.update(dict.fromkeys(places))
        for name, *row in found:
            self._rows[name, row[0]] = Row._make(row)

    # -- reading -------------------------------------------------------------------------------

    def _all(self, query: LiteralString, *values: Value) -> Rows:
        self._must_wait()
        return self.wire.ask(query, *values, end=self._single)

    def _must_wait(self) -> None:
        if not self._waits:
            raise WouldWait

    def _one(self, query: LiteralString, *values: Value) -> Any:
        found = self._all(query, *values)
        return found[0] if found else None

    def glance(self, namespace: str, key: str) -> tuple[str, int, float | None, int] | None:
        row = self.row(namespace, key)
        if row is None:
            return None
        return row.value, row.version, row.expires_at, row.sliding or row.chunked

    def row(self, namespace: str, key: str) -> Row | None:
        if (namespace, key) not in self._rows:
            self.rows(namespace, [key])
        return self._state(namespace, key)

    def rows(self, namespace: str, keys: Sequence[str]) -> list[Row]:
        missing = [(namespace, key) for key in keys if (namespace, key) not in self._rows]
        if missing:
            names, wanted = zip(*missing, strict=True)
            self._keep_rows(missing, self._all(sql.ROWS, texts(names), texts(wanted)))
        found = (self._state(namespace, key) for key in dict.fromkeys(keys))
        return [row for row in found if row is not None]

    def _state(self, namespace: str, key: str) -> Row | None:
        place = (namespace, key)
        for layer in reversed(self._layers):
            if place in layer.rows:
                return layer.rows[place]
        return self._rows[place]

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
        self.send()
        bounds: list[Any] = [namespace, first, first if exclusive else "", now, newer_than]
        if last is not None:
            bounds.append(last)
        query = sql.SCAN_ROWS[values, last is not None, reverse]
        return [Row._make(found) for found in self._all(query, *bounds, limit)]

    def chunks(self, namespace: str, key: str, first: int, last: int) -> list[Chunk]:
        self.send()
        return [Chunk._make(found) for found in self._all(sql.CHUNKS, namespace, key, last, first)]

    def ledger(self, namespace: str) -> Ledger | None:
        for layer in reversed(self._layers):
            if namespace in layer.ledgers:
                return layer.ledgers[namespace]
        if namespace not in self._ledgers:  # a transaction that only reads
            found = self._one(sql.LEDGER, namespace)
            self._ledgers[namespace] = Ledger() if found is None else Ledger._make(found)
        return self._ledgers[namespace]

    def expired(self, now: float, limit: int, namespace: str | None) -> list[tuple[str, Row]]:
        found = self._all(sql.EXPIRED, now, limit)
        return [(name, Row._make(row)) for name, *row in found if namespace in (None, name)]

    def expired_size(self, namespace: str, now: float) -> tuple[int, int]:
        self.send()
        return self._one(sql.EXPIRED_SIZE, namespace, now)

    def recall(self, namespace: str, idempotency_key: str) -> tuple[str, str] | None:
        place = (namespace, idempotency_key)
        for layer in reversed(self._layers):
            if place in layer.replies:
                return layer.replies[place][:2]
        if place not in self._replies:
            self._replies[place] = self._one(sql.RECALL, *place)
        return self._replies[place]

    def namespaces(self, after: str, limit: int) -> list[str]:
        return [name for (name,) in self._all(sql.NAMESPACES, after, limit)]

    # -- changing ------------------------------------------------------------------------------

    def save_rows(self, namespace: str, rows: Mapping[str, Row | None]) -> None:
        changed = self._layers[-1].rows
        for key, row in rows.items():
            changed[namespace, key] = row

    def save_chunk(self, namespace: str, key: str, chunk: Chunk) -> None:
        self._layers[-1].save_chunk(namespace, key, chunk)

    def remove_chunks(self, namespace: str, key: str, before: int | None) -> None:
        self._layers[-1].remove_chunks(namespace, key, 2**62 if before is None else before)

    def save_ledger(self, namespace: str, ledger: Ledger) -> None:
        self._layers[-1].ledgers[namespace] = ledger

    def remember(
        self, namespace: str, idempotency_key: str, fingerprint: str, reply: str, until: float
    ) -> None:
        self._layers[-1].replies[namespace, idempotency_key] = (fingerprint, reply, until)

    def forget_replies(self, now: float, limit: int) -> int:
        self.wire.put(sql.FORGET_REPLIES, now, limit)
        return self.wire.exchange(end=self._single)[-1].command_tuples or 0

    @contextmanager
    def savepoint(self) -> Generator[None]:
        self._savepoints.append(point := _Savepoint(len(self._layers)))
        self._layers.append(Changes())
        try:
            yield
        except psycopg.Error:  # the whole transaction is over
            raise
        except BaseException:
            self._undo(point)
            raise
        else:
            self._keep(point)
        finally:
            self._savepoints.pop()

    def _undo(self, point: "_Savepoint") -> None:
        del self._layers[point.outer :]
        if point.known:
            self.wire.put(sql.UNDO)
            self.wire.put(sql.KEEP)
            self._layers.append(Changes())

    def _keep(self, point: "_Savepoint") -> None:
        if point.known:
            self.wire.put(sql.KEEP)
        else:
            inner = self._layers.pop()
            self._layers[-1].take_over(inner)

    def send(self) -> None:
        """Queue every change that was not sent; within a savepoint, so that it can be undone."""
        points = {point.outer: point for point in self._savepoints if not point.known}
        for position, layer in enumerate(self._layers):
            if position in points:
                self.wire.put(sql.SAVEPOINT)
                points[position].known = True
            if not layer.sent:
                for query, values in layer.statements():
                    self.wire.put(query, *values)
                layer.sent = True
        if not self._savepoints:  # nothing can be undone any more
            for layer in self._layers:
                self._rows.update(layer.rows)
                self._ledgers.update(layer.ledgers)
            self._layers.clear()
        self._layers.append(Changes())


class _Savepoint:
    """Where the layers of a savepoint begin, and whether the database knows of it."""

    __slots__ = ("known", "outer")

    def __init__(self, outer: int) -> None:
        self.outer = outer
        self.known = False
