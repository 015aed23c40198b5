"""Writes that wait for the same thread travel together, in one request.

LangGraph saves the writes of each task by a call of its own when the task ends, and the checkpoint
right after the last of them.

- A write that finds none under way waits a moment for the checkpoint that mostly follows and takes
  it along, and is sent if none came. A checkpoint is always sent at once.
- A write that finds another one or a checkpoint under way waits until that is done, or until a
  checkpoint is sent; then all that wait by then are sent together.
- A call returns when what it wrote is kept. What failed together each caller tries alone, so that
  each gets its own error; writing twice changes nothing.
- Calls that block wait for such calls only, and tasks for tasks of their own event loop: nobody
  waits for what cannot go on before he does.
"""

import asyncio
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from botwire.forks import watch
from botwire.operations import Append, Operation
from botwire_langchain.faces import Flow

__all__ = ["AWAITED", "BLOCKING", "Pace", "Together"]

LARGE = 200_000  # a write of more bytes gains nothing by company
PORTION = 1_000_000  # bytes that are taken along at most
# How long a checkpoint may take to follow the last write of its step: LangGraph hands it in from
# another thread, which needs Python's lock for that, or some turns of the event loop later.
MOMENT = 0.001  # seconds
TURNS = 2


class Signal(Protocol):
    """What one caller waits for, with or without an end. It is set once."""

    def set(self) -> None: ...
    def wait(self) -> Any: ...
    def pause(self) -> Any: ...


class _Latch:
    """A signal for one thread: a lock and no more, since waking threads is what costs most here."""

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()

    def set(self) -> None:
        self._lock.release()

    def wait(self) -> None:
        self._lock.acquire()

    def pause(self) -> None:
        self._lock.acquire(timeout=MOMENT)


class _Event(asyncio.Event):
    """A signal for one task."""

    async def pause(self) -> None:
        for _ in range(TURNS):
            await asyncio.sleep(0)
            if self.is_set():
                return


@dataclass(frozen=True, slots=True)
class Pace:
    """How a flow waits: blocking or awaiting.

    Attributes:
        home: what its callers have in common with those they may wait for.
        signal: makes a signal; what its `wait` and `pause` give is yielded.
    """

    home: Callable[[], object]
    signal: Callable[[], Signal]


BLOCKING = Pace(lambda: None, _Latch)
AWAITED = Pace(asyncio.get_running_loop, _Event)


@dataclass(slots=True, eq=False)
class _Write:
    """A write that waits: to lead, or to be taken along and `kept` (or not)."""

    append: Append
    size: int
    kept: bool | None = None
    signal: Signal | None = None  # set when one of the two is so; there is one if somebody waits

    def wake(self) -> None:
        """Let its caller look again. Whoever calls this holds the lock of the lines."""
        signal, self.signal = self.signal, None
        if signal is not None:
            signal.set()


@dataclass(slots=True)
class _Line:
    """Who waits, and what for: the one whose request is under way, and checkpoints that are."""

    waiting: list[_Write] = field(default_factory=list[_Write])
    leader: _Write | None = None
    saving: int = 0

    @property
    def free(self) -> bool:
        return self.leader is None and not self.saving

    def take(self) -> list[_Write]:
        size = count = 0
        while count < len(self.waiting) and size + self.waiting[count].size <= PORTION:
            size += self.waiting[count].size
            count += 1
        taken, self.waiting = self.waiting[:count], self.waiting[count:]
        return taken


Send = Callable[[Sequence[Operation]], Flow[Any]]


class Together:
    """The writes of one saver that are under way or wait, by thread."""

    def __init__(self) -> None:
        self._lines: dict[tuple[object, str], _Line] = {}
        self._lock = threading.Lock()
        watch(self)

    def write(self, thread: str, append: Append, pace: Pace, send: Send) -> Flow[None]:
        """Have a write sent, by itself or with others; `send` is the flow that sends."""
        size = sum(map(len, append.items))
        if size > LARGE:
            yield from send([append])
            return
        key, mine = (pace.home(), thread), _Write(append, size)
        line = self._enter(key, mine)
        try:
            yield from self._wait(line, mine, pace)
            if line.leader is mine:
                yield from self._pause(mine, pace)
                with self._taken(line) as appends:
                    if appends:
                        yield from send(appends)
        finally:
            self._leave(key, line, mine)
        yield from self._wait(line, mine, pace)  # a checkpoint may have taken it along
        if not mine.kept:
            yield from send([append])

    def _wait(self, line: _Line, mine: _Write, pace: Pace) -> Flow[None]:
        """Until it leads or is settled."""
        with self._lock:
            if line.leader is mine or mine.kept is not None:
                return
            mine.signal = signal = pace.signal()
        yield signal.wait()

    def _pause(self, mine: _Write, pace: Pace) -> Flow[None]:
        """Give a checkpoint the time to take it along."""
        with self._lock:
            if mine.kept is not None:
                return
            mine.signal = signal = pace.signal()
        yield signal.pause()

    @contextmanager
    def waiting(self, thread: str, pace: Pace) -> Generator[list[Append]]:
        """What waits for a thread, to be sent with a checkpoint in the block."""
        key = (pace.home(), thread)
        with self._lock:
            line = self._lines.setdefault(key, _Line())
            line.saving += 1
        try:
            with self._taken(line) as appends:
                yield appends
        finally:
            with self._lock:
                line.saving -= 1
                self._go_on(key, line)

    @contextmanager
    def _taken(self, line: _Line) -> Generator[list[Append]]:
        """What waits in the line, to be sent in the block; if that fails, nothing was."""
        with self._lock:
            taken = line.take()
        kept = False
        try:
            yield [write.append for write in taken]
            kept = True
        finally:
            with self._lock:
                for write in taken:
                    write.kept = kept
                    write.wake()

    def _enter(self, key: tuple[object, str], mine: _Write) -> _Line:
        with self._lock:
            line = self._lines.setdefault(key, _Line())
            line.waiting.append(mine)
            if line.free:
                line.leader = mine
            return line

    def _leave(self, key: tuple[object, str], line: _Line, mine: _Write) -> None:
        """Whatever became of it: it no longer waits, and if it led, the next one does."""
        with self._lock:
            if mine in line.waiting:
                line.waiting.remove(mine)
            if line.leader is mine:
                line.leader = None
            self._go_on(key, line)

    def _go_on(self, key: tuple[object, str], line: _Line) -> None:
        """Let the first of those who wait lead, unless something is still under way."""
        if not line.free:
            return
        if line.waiting:
            line.leader = line.waiting[0]
            line.leader.wake()
        elif self._lines.get(key) is line:  # a line that others left first is gone already
            del self._lines[key]

    def before_fork(self) -> None:
        self._lock.acquire()

    def after_fork(self, child: bool) -> None:
        if child:  # what was under way there is not here
            self._lines.clear()
        self._lock.release()
