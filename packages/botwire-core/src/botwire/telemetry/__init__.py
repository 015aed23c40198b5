"""One event for each operation, for whoever listens; nothing at all when nobody does.

An observer is a generator function. It is called with a `Call`, runs to its `yield` before the
operation, and goes on when the operation has ended:

    def slow(call):
        started = time.perf_counter()
        yield
        if time.perf_counter() - started > 0.1:
            log.warning("%s was slow", call.operation.name)

    telemetry.add(slow)

- One observer at a time makes spans (`set_span_maker`), so that no operation shows twice; any
  number of others may watch. As long as nobody set another, OpenTelemetry's makes them
  (`botwire.otel`), from the moment the process has set OpenTelemetry up.
- No operation fails or changes because of an observer: what one raises is logged once and ends
  here. An observer that returns before its `yield` is not interested in this operation.
- Values leave the process only through an observer that was told to record them (`content.py`).
"""

import logging
import os
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from importlib.util import find_spec
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from botwire.operations import Operation
    from botwire.runners import Connection

__all__ = [
    "Call",
    "Observer",
    "Watching",
    "add",
    "disabled",
    "listening",
    "observe",
    "observe_async",
    "remove",
    "set_span_maker",
    "spans_by",
    "untold",
]

log = logging.getLogger("botwire.telemetry")


@dataclass(slots=True, eq=False)
class Call:
    """One operation under way, retries included.

    Attributes:
        server: host and port of the server it is sent to; None when it runs in this process.
        headers: what an observer puts here before the operation travels with it.
        attempts: how many times it was sent.
        reply: the reply as plain data; result: what the caller gets; both None after an error.
        error: what the caller gets raised.
    """

    operation: "Operation"
    server: tuple[str, int] | None
    headers: dict[str, str] = field(default_factory=dict[str, str])
    attempts: int = 1
    reply: Any = None
    result: Any = None
    error: BaseException | None = None


Observer = Callable[[Call], Generator[None]]


class Watched(Protocol):
    """What observers of any kind watch; they learn from it what was raised."""

    error: BaseException | None


Subject = TypeVar("Subject", bound=Watched)
Value = TypeVar("Value")


class Watching(Generic[Subject]):
    """A block that observers watch; whatever they raise stays in here."""

    __slots__ = ("_observers", "_running", "_subject")

    def __init__(
        self, subject: Subject, observers: Sequence[Callable[[Subject], Generator[None]]]
    ) -> None:
        self._subject = subject
        self._observers = observers
        self._running: list[tuple[Any, Generator[None]]] = []

    def __enter__(self) -> None:
        if _here.get() is _NOBODY:
            return
        for observer in self._observers:
            try:
                running = observer(self._subject)
                if next(running, _END) is not _END:
                    self._running.append((observer, running))
            except Exception as failure:
                _report(observer, failure)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._subject.error = error
        for observer, running in reversed(self._running):
            try:
                next(running, None)
            except Exception as failure:
                _report(observer, failure)


@contextmanager
def untold(block: AbstractContextManager[Value]) -> Generator[Value]:
    """The block, which is not told what is raised in it: it would record a text that quotes values.

    >>> from contextlib import nullcontext
    >>> with untold(nullcontext("observation")) as value:
    ...     value
    'observation'
    """
    value = block.__enter__()
    try:
        yield value
    finally:
        block.__exit__(None, None, None)


_END = object()
_reported: dict[int, Any] = {}  # by id, because an observer need not be hashable


def _report(observer: Any, failure: Exception) -> None:
    """Log what an observer raised, once for each: it would otherwise do so with every operation."""
    if id(observer) not in _reported:
        _reported[id(observer)] = observer  # kept, so that no other gets its id
        # Where, but not its text: a `redact` that fails may quote the very value it was to hide.
        shown = _Failure(f"{type(failure).__name__}; its text may quote a value and is left out")
        where = (_Failure, shown, failure.__traceback__)
        log.error("%r failed; the operation was not affected", observer, exc_info=where)


class _Failure(Exception):
    """Stands in a log for what an observer raised."""


def observe(operation: "Operation", connection: "Connection") -> Any:
    """Run an operation with everybody watching who wants to."""
    observers = _observers()
    if not observers:
        return operation.result(connection.run(operation))
    call = Call(operation, connection.server)
    with Watching(call, observers):
        call.reply = connection.run(*_arguments(call))
        call.result = operation.result(call.reply)
    return call.result


async def observe_async(operation: "Operation", connection: "Connection") -> Any:
    observers = _observers()
    if not observers:
        return operation.result(await connection.run_async(operation))
    call = Call(operation, connection.server)
    with Watching(call, observers):
        call.reply = await connection.run_async(*_arguments(call))
        call.result = operation.result(call.reply)
    return call.result


def _arguments(call: Call) -> tuple[Any, ...]:
    return (call.operation,) if call.server is None else (call.operation, call)


# -- who observes ----------------------------------------------------------------------------------

_NOBODY: Any = object()
_maker: Observer | None = None
_watchers: tuple[Observer, ...] = ()
_here: ContextVar[Any] = ContextVar("botwire_span_maker", default=None)
_here_used = False


def _wanted_by_default() -> bool:
    """Whether OpenTelemetry is at hand; OpenTelemetry's own variable switches us off."""
    unwanted = os.environ.get("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "").split(",")
    return find_spec("opentelemetry") is not None and "botwire" not in map(str.strip, unwanted)


_FROM_NAME = "OTEL_PYTHON_TRACER_PROVIDER" in os.environ  # the API then makes one when asked
_default = _wanted_by_default()
listening = _default  # False: nobody can be listening, and operations take the short way


def _observers() -> tuple[Observer, ...]:
    here = _here.get()
    if here is _NOBODY:
        return ()
    maker = here or _maker or (_default_maker() if _default else None)
    return (maker, *_watchers) if maker else _watchers


def _default_maker() -> Observer | None:
    global _default
    try:
        return _opentelemetry()
    except Exception as failure:  # what the environment names as its provider cannot be made
        _default = False
        _report("OpenTelemetry", failure)
        return None


def _opentelemetry() -> Observer | None:
    """The observer of `botwire.otel`, if this process has set up OpenTelemetry."""
    trace: Any = sys.modules.get("opentelemetry.trace")
    # A glance at what the API asks first; the rest is right whatever becomes of that name.
    if trace is None or (getattr(trace, "_TRACER_PROVIDER", trace) is None and not _FROM_NAME):
        return None
    provider = getattr(trace, "get_tracer_provider", None)  # it may be half imported just now
    if provider is None or isinstance(provider(), trace.ProxyTracerProvider):
        return None
    from botwire import otel  # which needs opentelemetry

    return otel.observe


def set_span_maker(maker: Observer | None) -> None:
    """Let another observer make the spans; None gives this back to OpenTelemetry's."""
    global _maker
    _maker = maker
    _listen()


def add(observer: Observer) -> None:
    """Let an observer watch all operations, beside whoever makes the spans."""
    global _watchers
    _watchers = (*(watcher for watcher in _watchers if watcher != observer), observer)
    _listen()


def remove(observer: Observer) -> None:
    """Watch no more."""
    global _watchers
    _watchers = tuple(watcher for watcher in _watchers if watcher != observer)
    _listen()


def _listen() -> None:
    global listening
    listening = _default or _here_used or _maker is not None or bool(_watchers)


@contextmanager
def spans_by(maker: Observer) -> Generator[None]:
    """Let another observer make the spans of this block, and of what is started in it."""
    global _here_used
    _here_used = True
    _listen()
    token = _here.set(maker)
    try:
        yield
    finally:
        _here.reset(token)


@contextmanager
def disabled() -> Generator[None]:
    """Nobody observes what happens in this block, functions that are traced included.

    >>> with disabled():
    ...     pass
    """
    token = _here.set(_NOBODY)
    try:
        yield
    finally:
        _here.reset(token)
