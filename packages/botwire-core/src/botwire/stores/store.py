"""The line of writers in front of a store, and how an operation reaches its rows.

- Whoever writes puts a ticket into the line and takes the lock; whoever has the lock serves every
  ticket that waits in one transaction, so concurrent writers share one fsync and each is answered
  only after it.
- Reads never take that lock.
- An operation that finds out that it needs more (a snapshot, a write) raises `Escalate`, and the
  store runs it again in that mode.
"""

import threading
import time
from abc import ABCMeta, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from botwire.errors import BotWireError, IdempotencyMismatch, Unavailable
from botwire.forks import watch
from botwire.jsontext import Json, write
from botwire.stores.base import Escalate, Limits, Mode, Session
from botwire.stores.space import Space

if TYPE_CHECKING:
    from botwire.operations import Operation

__all__ = ["Clock", "Once", "Store", "Ticket"]

GROUP = 512  # tickets a transaction serves at most, so that nobody waits behind an endless line
SWEEP_EVERY = 30.0  # seconds between two sweeps, which ride on a write's transaction
SWEEP_ROWS = 200
REPLIES_KEPT = 24 * 3600.0  # seconds an idempotency key is remembered


@dataclass(frozen=True, slots=True)
class Once:
    """Makes a repeated write harmless: the second one with this key gets the first one's reply."""

    key: str
    fingerprint: str


class Ticket:
    """A write in the line, and what became of it."""

    __slots__ = ("done", "error", "held_up", "once", "operation", "reply", "since")

    def __init__(self, operation: "Operation", once: Once | None = None) -> None:
        self.operation = operation
        self.once = once
        self.since = time.monotonic()
        self.held_up = 0  # how often others held its namespace when it was tried
        self.done = False
        self.reply: Any = None
        self.error: BaseException | None = None

    def fail(self, error: BaseException) -> None:
        self.error = error
        self.done = True

    def result(self) -> Any:
        if self.error is not None:
            raise self.error
        return self.reply


class Clock:
    """Seconds since 1970 that never run backwards, so that what expired stays expired.

    A wall clock that is set back is ignored: time goes on from where it was.
    """

    def __init__(self) -> None:
        self._offset = 0.0

    def __call__(self) -> float:
        # The wall clock is read first: a pause between the two calls then cannot push time ahead.
        ahead = time.time() - time.monotonic()
        self._offset = max(ahead, self._offset)
        return self._offset + time.monotonic()


_clock = Clock()  # one for the process: a store that is opened again does not start anew


class _Made(ABCMeta):
    """Tells forks of a store once it is made: they could not lay a half of one to rest."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        store = super().__call__(*args, **kwargs)
        watch(store)
        return store


class Store(metaclass=_Made):
    """A place where memory is kept. Blocking; safe to use from several threads.

    Args:
        limits: what each namespace may use.
        clock: gives the time in seconds; tests pass their own.
    """

    reads_in_line: ClassVar[bool] = False
    """Whether a single read is so quick that an event loop may do it itself."""

    reads_together: ClassVar[bool] = False
    """Whether single reads are best done several at a time, by `read_together`."""

    lanes: ClassVar[int] = 1
    """How many groups of writes it commits at a time; a namespace should be in one of them."""

    def __init__(
        self, limits: Limits | None = None, clock: Callable[[], float] | None = None
    ) -> None:
        self.limits = limits or Limits()
        self.clock = clock or _clock
        self._line: deque[Ticket] = deque()
        self._lock = threading.Lock()
        self._swept_at = 0.0

    @abstractmethod
    def session(self, mode: Mode, wait: bool = True) -> AbstractContextManager[Session]:
        """One transaction: committed when the block ends, undone when it raises.

        Raises:
            Busy: others held the store for too long, or, with `wait=False`, at all.
        """

    @abstractmethod
    def close(self) -> None:
        """Give back files and connections. Closing twice is fine; the next use opens them again."""

    def before_fork(self) -> None:
        """Let the transaction that runs now end, so that the child inherits no half of one."""
        self._lock.acquire()

    def after_fork(self, child: bool) -> None:
        """Go on in the parent; in the child leave what was inherited alone."""
        self._lock.release()
        if child:
            self._line.clear()

    def run(self, operation: "Operation") -> Any:
        """Apply one operation and return its reply (plain data in which values are `Json`)."""
        if operation.looks:
            try:
                return self.look(operation)
            except Escalate:
                pass
        mode = operation.mode
        while mode is not Mode.WRITE:
            try:
                return self.read(operation, mode)
            except Escalate as needed:
                mode = needed.mode
        return self.write(operation)

    def look(self, operation: "Operation") -> Any:
        """Answer from a glance at one row, or raise `Escalate`."""
        with self.session(Mode.POINT) as session:
            return operation.look(session, self.clock)

    def read(self, operation: "Operation", mode: Mode) -> Any:
        """Apply an operation that changes nothing, or raise `Escalate`."""
        with self.session(mode) as session:
            return operation.apply(self.space(session, operation.namespace, mode))

    def read_together(self, tickets: Sequence[Ticket]) -> None:
        """Apply operations on one key each; what one of them meets becomes its ticket's error."""
        raise NotImplementedError

    async def read_together_soon(self, tickets: Sequence[Ticket]) -> bool:
        """As `read_together`, without holding up the event loop; False: it did nothing."""
        return False

    def space(self, session: Session, namespace: str, mode: Mode) -> Space:
        return Space(session, namespace, mode, self.clock(), self.limits)

    def write(self, operation: "Operation", once: Once | None = None) -> Any:
        """Apply one operation durably: when this returns, it survives power loss."""
        ticket = Ticket(operation, once)
        self._line.append(ticket)
        try:
            self._serve_line(ticket)
        except BaseException:  # Ctrl-C while it waited: nobody is to write it later
            with suppress(ValueError):
                self._line.remove(ticket)
            raise
        return ticket.result()

    def _serve_line(self, ticket: Ticket) -> None:
        with self._lock:
            while not ticket.done:
                if not self._line:  # Ctrl-C hit the thread that had just taken it
                    raise Unavailable("the write was interrupted; it may have happened")
                self._commit(self._take_group())

    def _take_group(self) -> list[Ticket]:
        return [self._line.popleft() for _ in range(min(len(self._line), GROUP))]

    def commit(self, tickets: Sequence[Ticket]) -> Sequence[Ticket]:
        """Apply these writes in one transaction.

        Returns the tickets whose namespaces others hold up, to be committed again; all others are
        done. Those that were returned once and come in a group of one namespace wait for it.
        """
        with self._lock:
            return self._commit(tickets)

    def _commit(self, tickets: Sequence[Ticket]) -> Sequence[Ticket]:
        left: Sequence[Ticket] = ()
        try:
            left = self._transact(tickets)
        except Exception as error:  # the transaction was undone
            if len(tickets) > 1 and not isinstance(error, Unavailable):
                for ticket in tickets:  # what is too large or met a bug fails alone
                    self._commit([ticket])
            else:
                for ticket in tickets:
                    ticket.fail(error)
        except BaseException:  # Ctrl-C reaches this thread; the others get an error they can handle
            for ticket in tickets:
                ticket.fail(Unavailable("the write was interrupted; it may have happened"))
            raise
        for ticket in tickets:
            ticket.done = ticket not in left
        return left

    def _transact(self, tickets: Sequence[Ticket]) -> Sequence[Ticket]:
        with self.session(Mode.WRITE) as session:
            self._apply(session, tickets)
        return ()

    async def commit_soon(self, tickets: Sequence[Ticket]) -> Sequence[Ticket] | None:
        """As `commit`, without holding up the event loop; None: it did nothing."""
        return None

    def begin(self, tickets: Sequence[Ticket]) -> Callable[[], None] | None:
        """Apply these writes here and now; returns what makes them durable, None if others write.

        This splits `commit` for event loops: applying is quick and can happen on the loop's thread,
        while waiting for the disk belongs in another. The tickets are done when the returned
        function has run; after None they are untouched.
        """
        if not self._lock.acquire(blocking=False):
            return None
        transaction = self.session(Mode.WRITE, wait=False)
        try:
            with ExitStack() as stack:
                self._apply(stack.enter_context(transaction), tickets)
                stack.pop_all()  # the transaction stays open for `_finish`
        except Exception:  # `commit` will meet it again and report it
            self._lock.release()
            return None
        except BaseException:
            self._lock.release()
            raise
        return partial(self._finish, transaction, tickets)

    def _finish(
        self, transaction: AbstractContextManager[Session], tickets: Sequence[Ticket]
    ) -> None:
        try:
            transaction.__exit__(None, None, None)
        except Exception as error:  # the transaction was undone, so every ticket has failed
            for ticket in tickets:
                ticket.fail(error)
        finally:
            self._lock.release()
        for ticket in tickets:
            ticket.done = True

    def _apply(self, session: Session, tickets: Sequence[Ticket]) -> None:
        spaces: dict[str, Space] = {}
        for ticket in tickets:
            name = ticket.operation.namespace
            space = spaces.get(name)
            if space is None:
                space = spaces[name] = self.space(session, name, Mode.WRITE)
            self._serve(ticket, space)
        for space in spaces.values():
            space.flush()
        self._sweep_if_due(session)

    @staticmethod
    def _serve(ticket: Ticket, space: Space) -> None:
        ticket.error = None
        try:
            ticket.reply = _apply_once(ticket.operation, ticket.once, space)
        except BotWireError as error:  # it changed nothing; the others in the group go on
            ticket.error = error

    def _sweep_if_due(self, session: Session) -> None:
        now = self.clock()
        if now - self._swept_at >= SWEEP_EVERY:
            more = _sweep(self, session, now)
            self._swept_at = 0.0 if more else now  # a backlog is worked off with every write

    def sweep(self) -> None:
        """Free the space of what has expired. Nothing depends on it but disk space."""
        more = True
        while more:
            with self._lock, self.session(Mode.WRITE) as session:
                more = _sweep(self, session, self.clock())

    def namespaces(self, after: str = "", limit: int = 1000) -> list[str]:
        """Names of namespaces that were ever written, in code-point order, after `after`."""
        with self.session(Mode.POINT) as session:
            return session.namespaces(after, limit)


def _apply_once(operation: "Operation", once: Once | None, space: Space) -> Any:
    if once is None:
        return operation.apply(space)
    known = space.session.recall(operation.namespace, once.key)
    if known is not None:
        fingerprint, reply = known
        if fingerprint != once.fingerprint:
            raise IdempotencyMismatch(
                "this idempotency key was used for another request",
                hint="Use a new key for each request; send the same key only to repeat one.",
            )
        return Json(reply)
    reply = operation.apply(space)
    space.session.remember(
        operation.namespace, once.key, once.fingerprint, write(reply), space.now + REPLIES_KEPT
    )
    return reply


def _sweep(store: Store, session: Session, now: float) -> bool:
    """Free the space of some of what expired; True when there is more."""
    spaces: dict[str, Space] = {}
    expired = session.expired(now, SWEEP_ROWS, None)
    for namespace, row in expired:
        if namespace not in spaces:
            spaces[namespace] = store.space(session, namespace, Mode.WRITE)
        spaces[namespace].discard(row)
    for space in spaces.values():
        space.flush()
    return max(len(expired), session.forget_replies(now, SWEEP_ROWS)) == SWEEP_ROWS
