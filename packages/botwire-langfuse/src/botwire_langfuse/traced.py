"""`traced_memory`: an observation around a function or a block that remembers.

What happens inside shows below it, whether or not the whole process is instrumented.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, TypeVar, cast, overload

from langfuse import Langfuse, propagate_attributes

from botwire import otel, telemetry
from botwire.telemetry import Watching
from botwire.telemetry.content import Content
from botwire.telemetry.functions import (
    Invocation,
    shown_arguments,
    shown_error,
    shown_result,
    watched,
)
from botwire_langfuse.observations import Observations, current

__all__ = ["traced_memory"]

Function = TypeVar("Function", bound=Callable[..., Any])


@overload
def traced_memory(name: Function, /) -> Function: ...
@overload
def traced_memory(
    name: str | None = None,
    *,
    as_type: str = "span",
    user_id: str | None = None,
    session_id: str | None = None,
    tags: Sequence[str] | None = None,
    metadata: Mapping[str, str] | None = None,
    public_key: str | None = None,
    capture_content: bool | None = None,
    redact: Callable[[str, Any], Any] | None = None,
    hash_keys: bool = False,
) -> "Traced": ...
def traced_memory(
    name: Any = None,
    *,
    public_key: str | None = None,
    capture_content: bool | None = None,
    redact: Callable[[str, Any], Any] | None = None,
    hash_keys: bool = False,
    **options: Any,
) -> Any:
    """Show a function or a block in Langfuse, with everything it remembers below it.

    A decorator, with or without arguments, for functions, coroutine functions and generators of
    both kinds; or a context manager, which gives the observation.

    Args:
        name: the observation's name; the function's without it.
        as_type: `span`, `agent`, `chain`, `tool`, `retriever` and so on.
        user_id, session_id, tags, metadata: set on it and on everything below.
        public_key, capture_content, redact, hash_keys: as for `instrument`, which they override
            here. Arguments and results of functions are values, too, and are passed through
            `redact` under their names and "return".

    >>> @traced_memory(user_id="ada")
    ... def recall(memory):
    ...     return memory.get("plan")
    >>> with traced_memory("morning round", session_id="s-1"):
    ...     pass
    """
    own = {
        "public_key": public_key,
        "capture": capture_content,
        "redact": redact,
        "hash_keys": hash_keys or None,
    }
    traced = Traced(None if callable(name) else name, own, options)
    return traced(name) if callable(name) else traced


@dataclass(slots=True, eq=False)
class Block:
    """One run of a block, and the observation it was given."""

    observation: Any = None
    error: BaseException | None = None


# The blocks under way in this thread or task: one Traced may be entered by several, and in itself.
_entered: ContextVar[tuple[Watching[Block], ...]]
_entered = ContextVar("botwire_langfuse_blocks", default=())


class Traced:
    """What `traced_memory` gives: a decorator and a context manager in one."""

    def __init__(self, name: str | None, own: dict[str, Any], options: dict[str, Any]) -> None:
        self._name = name
        self._own = {name: value for name, value in own.items() if value is not None}
        self._type = options.pop("as_type", "span")
        self._shared = {name: value for name, value in options.items() if value is not None}
        self._made_from: Observations | None = None
        self._observations: Observations | None = None
        self._running: list[Watching[Block]] = []

    def __call__(self, function: Function) -> Function:
        return watched(function, self._observe)

    def __enter__(self) -> Any:
        """The observation, or None where Langfuse is not in use."""
        block = Block()
        watching = Watching(block, (self._observe_block,))
        watching.__enter__()
        self._running.append(watching)
        _entered.set((*_entered.get(), watching))
        return block.observation

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        watching = self._last_entered()
        if isinstance(error, GeneratorExit):  # of a generator that nobody iterates any more
            kind = error = trace = None
        watching.__exit__(kind, error, trace)

    def _last_entered(self) -> Watching[Block]:
        """What was entered last in this thread or task; anywhere, if it is left in another one."""
        entered = _entered.get()
        mine = [watching for watching in entered if watching in self._running]
        last = mine[-1] if mine else self._running[-1]
        self._running.remove(last)
        _entered.set(tuple(watching for watching in entered if watching is not last))
        return last

    def _makes(self) -> Observations:
        """What `instrument` set up, with what was said here instead of what was said there."""
        base = current() or self._made_from or Observations(Content())
        if self._observations is None or base is not self._made_from:
            self._made_from, self._observations = base, self._changed(base)
        return self._observations

    def _changed(self, base: Observations) -> Observations:
        if not self._own:
            return base
        content = {name: value for name, value in self._own.items() if name != "public_key"}
        key = self._own.get("public_key", base.projects.public_key)
        return Observations(replace(base.content, **content), key)

    @contextmanager
    def _observation(self, name: str, given: dict[str, Any] | None) -> Generator[Any]:
        makes = self._makes()
        with ExitStack() as stack:
            stack.enter_context(telemetry.spans_by(makes))
            client = makes.projects.find()
            if not isinstance(client, Langfuse) or otel.suppressed():
                yield None
                return
            if self._shared:
                stack.enter_context(propagate_attributes(**self._shared))
            start = cast("Any", client.start_as_current_observation)
            block = start(name=name, as_type=self._type, input=given)
            yield stack.enter_context(telemetry.untold(block))

    def _observe_block(self, block: "Block") -> Generator[None]:
        with self._observation(self._name or "memory", None) as block.observation:
            yield
            if block.observation is not None and block.error is not None:
                block.observation.update(**self._failure(block.error))

    def _observe(self, invocation: Invocation) -> Generator[None]:
        content = self._makes().content
        given = shown_arguments(invocation, content) or None
        with self._observation(self._name or invocation.function.__name__, given) as observation:
            yield
            if observation is None:
                return
            if invocation.error is not None:
                observation.update(**self._failure(invocation.error))
            else:
                observation.update(output=shown_result(invocation, content))

    def _failure(self, error: BaseException) -> dict[str, Any]:
        return {"level": "ERROR", "status_message": shown_error(error, self._makes().content)}
