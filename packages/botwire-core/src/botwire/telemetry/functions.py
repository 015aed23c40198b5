"""Watch functions of every kind, so that what they remember shows below them in a trace.

`watched(function, observer)` works on functions, coroutine functions, generators and asynchronous
generators, and keeps what each of them is. An observer is a generator function as everywhere in
`botwire.telemetry`; it is called with an `Invocation`.

- A generator runs in a context of its own, so that a span that is current inside it never becomes
  current for whoever iterates, not even while another iteration is under way.
- A consumer that stops early ends the observation without an error.
- `shown_arguments`, `shown_result` and `shown_error` give what observers may record of a call.
"""

import functools
import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextvars import Context, copy_context
from dataclasses import dataclass
from types import TracebackType
from typing import Any, TypeVar, cast

from botwire.telemetry import Watching
from botwire.telemetry.content import Content

__all__ = [
    "FunctionObserver",
    "Invocation",
    "shown_arguments",
    "shown_error",
    "shown_result",
    "watched",
]

KEPT = 4096  # items of a generator; more than that many would be cut from what is recorded anyway

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(slots=True, eq=False)
class Invocation:
    """One call of a watched function.

    Attributes:
        items: what a generator yielded, if an observer set this to a list; else None.
        result: what it returned. error: what it raised.
    """

    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    items: list[Any] | None = None
    result: Any = None
    error: BaseException | None = None

    def arguments(self) -> dict[str, Any]:
        """The arguments by name; the object a method belongs to is none."""
        try:
            bound = inspect.signature(self.function).bind(*self.args, **self.kwargs)
        except TypeError:  # the call itself will fail, and say why
            return dict(self.kwargs)
        owner = ("self", "cls")
        return {name: value for name, value in bound.arguments.items() if name not in owner}


FunctionObserver = Callable[[Invocation], Generator[None]]


def watched(function: Function, observer: FunctionObserver) -> Function:
    """The function, with an observer that watches each of its calls.

    >>> def told(invocation):
    ...     yield
    ...     print(invocation.function.__name__, invocation.arguments(), invocation.result)
    >>> def double(n):
    ...     return 2 * n
    >>> watched(double, told)(4)
    double {'n': 4} 8
    8
    """
    if inspect.isasyncgenfunction(function):
        wrapper = _async_generator(function, observer)
    elif inspect.isgeneratorfunction(function):
        wrapper = _generator(function, observer)
    elif inspect.iscoroutinefunction(function):
        wrapper = _coroutine(function, observer)
    else:
        wrapper = _plain(function, observer)
    return cast("Function", functools.wraps(function)(wrapper))


def _plain(function: Callable[..., Any], observer: FunctionObserver) -> Callable[..., Any]:
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        invocation = Invocation(function, args, kwargs)
        with Watching(invocation, (observer,)):
            invocation.result = function(*args, **kwargs)
        return invocation.result

    return wrapper


def _coroutine(function: Callable[..., Any], observer: FunctionObserver) -> Callable[..., Any]:
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        invocation = Invocation(function, args, kwargs)
        with Watching(invocation, (observer,)):
            invocation.result = await function(*args, **kwargs)
        return invocation.result

    return wrapper


def _generator(function: Callable[..., Any], observer: FunctionObserver) -> Callable[..., Any]:
    def wrapper(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        invocation = Invocation(function, args, kwargs)
        with _WatchingInside(invocation, observer) as context:
            body: Generator[Any, Any, Any] = function(*args, **kwargs)
            step = functools.partial(body.send, None)
            while True:
                try:
                    item = context.run(step)
                except StopIteration as done:
                    invocation.result = done.value
                    return done.value
                _keep(invocation, item)
                try:
                    step = functools.partial(body.send, (yield item))
                except BaseException as error:
                    step = functools.partial(body.throw, error)

    return wrapper


def _async_generator(function: Callable[..., Any], observer: FunctionObserver) -> Any:
    async def wrapper(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        invocation = Invocation(function, args, kwargs)
        with _WatchingInside(invocation, observer) as context:
            body: AsyncGenerator[Any, Any] = function(*args, **kwargs)
            step = body.asend(None)
            while True:
                try:
                    item = await _Inside(context, step)
                except StopAsyncIteration:
                    return
                _keep(invocation, item)
                try:
                    step = body.asend((yield item))
                except BaseException as error:
                    step = body.athrow(error)

    return wrapper


def _keep(invocation: Invocation, item: Any) -> None:
    if invocation.items is not None and len(invocation.items) < KEPT:
        invocation.items.append(item)


class _WatchingInside:
    """`Watching` in a context of its own, which the block is given to run in."""

    def __init__(self, invocation: Invocation, observer: FunctionObserver) -> None:
        self._watching = Watching(invocation, (observer,))

    def __enter__(self) -> Context:
        self._context = copy_context()
        self._context.run(self._watching.__enter__)
        return self._context

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(error, GeneratorExit):  # whoever iterated had seen enough
            kind = error = trace = None
        self._context.run(self._watching.__exit__, kind, error, trace)


class _Inside:
    """An awaitable whose steps run in a given context, in the task that awaits it."""

    def __init__(self, context: Context, awaitable: Awaitable[Any]) -> None:
        self._context = context
        self._awaitable = awaitable

    def __await__(self) -> Generator[Any, Any, Any]:
        steps: Generator[Any, Any, Any] = self._awaitable.__await__()
        step = functools.partial(steps.send, None)
        while True:
            try:
                waited = self._context.run(step)
            except StopIteration as done:
                return done.value
            try:
                step = functools.partial(steps.send, (yield waited))
            except BaseException as error:
                step = functools.partial(steps.throw, error)


# -- what observers may record ---------------------------------------------------------------------


def shown_arguments(invocation: Invocation, content: Content) -> dict[str, Any]:
    """Its arguments by name; none unless values may be recorded.

    To be asked at the start: from then on the items of a generator are kept, if they may be.
    """
    invocation.items = [] if content.capture else None
    return content.shown(invocation.arguments())


def shown_result(invocation: Invocation, content: Content) -> Any:
    """What it returned, or the items it yielded; None unless values may be recorded.

    `redact` is given it under the name "return".
    """
    return content.shown({"return": invocation.items or invocation.result}).get("return")


def shown_error(error: BaseException, content: Content) -> str:
    """The kind of an error, and what it says (as "error") if values may be recorded.

    >>> shown_error(KeyError("plan"), Content(capture=False))
    'KeyError'
    """
    kind = type(error).__name__
    text = content.shown({"error": str(error)}).get("error")
    return f"{kind}: {text}" if text else kind
