"""Connections of one process to one database: made when they are needed, at most so many.

- Whoever finds none free waits (`WAIT`); nobody waits without an end, whatever the database does.
- A connection that the other side has closed is noticed before it is used.
- What was inherited by a fork is left alone: closing it would disturb the parent.
- There are no threads, and whoever is interrupted while waiting takes no connection along.

psycopg's own pool was tried and is not used: see docs/decisions/015-a-pool-of-our-own.md.
"""

import select
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import psycopg
from psycopg import Connection
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.waiting import wait_async

from botwire.errors import Busy, InvalidRequest
from botwire_server.postgres.wire import Wire

__all__ = ["ANSWER", "LOCK", "STATEMENT", "WAIT", "Pool", "lock_timeout", "split_url"]

CONNECT = 5  # seconds to connect
WAIT = 10.0  # seconds to wait for a connection of the pool
LOCK = 10.0  # seconds to wait for a lock
STATEMENT = 20.0  # seconds a statement may take
ANSWER = 25.0  # seconds until a database that says nothing counts as lost

SETTINGS = {
    "lock_timeout": f"{LOCK:.0f}s",
    "statement_timeout": f"{STATEMENT:.0f}s",
    "idle_in_transaction_session_timeout": f"{STATEMENT:.0f}s",
    "extra_float_digits": "1",
    # Rows are found by key. A plan that was made while a table was small must not read all of it.
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_bitmapscan": "off",
    "jit": "off",
    # With partitions, making a plan takes longer than most statements do.
    "plan_cache_mode": "force_generic_plan",
}
# A peer that vanished is noticed. All may be set otherwise in the URL.
PARAMETERS = {
    "application_name": "botwire",
    "client_encoding": "UTF8",
    "connect_timeout": CONNECT,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": int(ANSWER * 1000),
}

_inherited: list[object] = []  # kept for ever: collecting them would end the parent's connections


def split_url(url: str) -> tuple[str, int | None]:
    """The URL for the driver, and the number of connections it asks for (`?pool_size=20`)."""
    parts = urlsplit(url)
    if parts.netloc.count("@") > 1:  # the driver would take half of the password for the host
        raise _no_address("in a password, @ must stand as %40")
    options = parse_qsl(parts.query, keep_blank_values=True)
    sizes = [value for name, value in options if name == "pool_size"]
    if not sizes:
        return url, None
    if not (sizes[-1].isascii() and sizes[-1].isdigit() and int(sizes[-1]) > 0):
        raise InvalidRequest(f"pool_size must be a whole number from 1 up, not {sizes[-1]!r}")
    rest = urlencode([option for option in options if option[0] != "pool_size"])
    return parts._replace(query=rest).geturl(), int(sizes[-1])


def _complete(conninfo: str) -> str:
    try:
        return make_conninfo("", **{**PARAMETERS, **conninfo_to_dict(conninfo)})
    except psycopg.ProgrammingError as error:
        # What it says about percent signs quotes the password.
        text = str(error).strip()
        raise _no_address("a % must stand as %25" if "percent" in text else text) from None


def _no_address(problem: str) -> InvalidRequest:
    return InvalidRequest(
        f"this is no address of a PostgreSQL database: {problem}",
        hint="It looks like postgresql://user:password@host:5432/database",
    )


def lock_timeout(waited: float) -> str:
    """What is left of the time to wait for a lock for who has waited so many seconds already."""
    return f"{max(LOCK - waited, 0.1) * 1000:.0f}ms"


class BoundedConnection(Connection[Any]):
    """A connection that does not wait for ever for a database that stands still."""

    _pool = None  # to be open when the program ends is no mistake of a connection in a pool

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        with self._bounded(timeout is None):
            return super().wait(gen, interval, ANSWER if timeout is None else timeout)

    async def wait_soon(self, gen: Any) -> Any:
        """As `wait`, for an event loop."""
        with self._bounded(True):
            return await wait_async(gen, self.fileno(), ANSWER, ANSWER)

    @contextmanager
    def _bounded(self, bounded: bool) -> Generator[None]:
        began = time.monotonic()
        try:
            yield
        except psycopg.OperationalError:
            if bounded and time.monotonic() - began >= ANSWER:
                self.pgconn.finish()  # nothing more is to be waited for
            raise


class Pool:
    """Connections to the database at `conninfo`; `prepare` is called with each new one."""

    def __init__(
        self, conninfo: str, size: int, prepare: Callable[[Connection[Any]], None]
    ) -> None:
        self.size = size
        self.losses = 0  # connections that the other side has ended
        self._conninfo = _complete(conninfo)
        self._prepare = prepare
        self._start()

    def _start(self) -> None:
        self._free: list[Wire] = []
        self._places = threading.BoundedSemaphore(self.size)

    def take(self) -> Wire:
        """A connection that nobody else uses until it is given back.

        Raises:
            Busy: all are in use for longer than `WAIT` seconds.
            psycopg.Error: there is none, and the database cannot be reached.
        """
        place = False
        try:
            place = self._places.acquire(timeout=WAIT)
            if not place:
                raise Busy(
                    f"all {self.size} connections to the database were in use for {WAIT:g} s",
                    hint="Try again; raise their number in the store's URL: ?pool_size=20",
                )
            return self._open() or self._connect()
        except BaseException:
            if place:
                self._places.release()
            raise

    def take_open(self) -> Wire | None:
        """As `take`, for an event loop: a connection that is open and free now, if there is one."""
        if not self._places.acquire(blocking=False):
            return None
        wire = self._open()
        if wire is None:
            self._places.release()
        return wire

    def _open(self) -> Wire | None:
        while True:
            try:
                wire = self._free.pop()
            except IndexError:
                return None
            if _silent(wire):
                return wire
            self.losses += 1
            wire.close()

    def _connect(self) -> Wire:
        connection = BoundedConnection.connect(self._conninfo, autocommit=True)
        try:
            connection.execute(
                "SELECT set_config(name, value, false) FROM unnest(%s::text[], %s::text[])"
                " AS settings (name, value)",
                [list(SETTINGS), list(SETTINGS.values())],
            )
            self._prepare(connection)
            return Wire(connection)
        except BaseException:
            connection.close()
            raise

    def give_back(self, wire: Wire, *, whole: bool) -> None:
        """Let others use it. Where one was lost, those that nobody uses are closed, too."""
        if whole:
            self._free.append(wire)
        else:
            lost = wire.lost
            wire.close()
            if lost:
                self.losses += 1
                self.close()
        self._places.release()

    def close(self) -> None:
        """Close what nobody uses."""
        while self._free:
            try:
                self._free.pop().close()
            except IndexError:  # another thread was faster
                return

    def after_fork(self) -> None:
        """In a child: begin anew, without what was inherited."""
        _inherited.append(self._free)
        self._start()


def _silent(wire: Wire) -> bool:
    """Whether nothing came in meanwhile: what comes unasked is the end of the connection."""
    if wire.lost or not hasattr(select, "poll"):  # Windows: the first use notices it
        return not wire.lost
    poll = select.poll()
    poll.register(wire.connection.fileno(), select.POLLIN)
    return not poll.poll(0)
