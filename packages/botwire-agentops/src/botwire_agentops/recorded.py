"""Decorators that stand where AgentOps used to have `record_function`.

AgentOps dropped `record_function`, `record_action` and `record_tool` after 0.3.26. These make the
same of a function in version 0.4: a task or a tool in the trace, with what it remembers below it.
Unlike AgentOps' own decorators they record arguments and results only when asked.
"""

from collections.abc import Callable, Generator
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar, overload

from opentelemetry import trace
from opentelemetry.trace import Status, StatusCode

from botwire import otel
from botwire.jsontext import write
from botwire.telemetry import untold
from botwire.telemetry.content import Content
from botwire.telemetry.functions import (
    FunctionObserver,
    Invocation,
    shown_arguments,
    shown_error,
    shown_result,
    watched,
)
from botwire_agentops.shape import current

__all__ = ["record_action", "record_function", "record_tool"]

Function = TypeVar("Function", bound=Callable[..., Any])

_tracer = trace.get_tracer("botwire.agentops")


@overload
def record_function(event_name: Function, /) -> Function: ...
@overload
def record_function(
    event_name: str | None = None,
    *,
    capture_content: bool | None = None,
    redact: Callable[[str, Any], Any] | None = None,
) -> Callable[[Function], Function]: ...
def record_function(event_name: Any = None, **own: Any) -> Any:
    """Show calls of a function as a task, with what it remembers below it.

    For functions, coroutine functions and generators of both kinds. Without AgentOps (or another
    OpenTelemetry backend) it changes nothing.

    Args:
        event_name: the name that is shown; the function's without it.
        capture_content, redact: as for `instrument`, which they override here. Values are passed
            through `redact` under the names of the arguments and "return".

    >>> @record_function("recall preferences")
    ... def recall(memory):
    ...     return memory.get("preferences")
    """
    return _decorated("task", event_name, own)


record_action = record_function


@overload
def record_tool(tool_name: Function, /) -> Function: ...
@overload
def record_tool(
    tool_name: str | None = None,
    *,
    capture_content: bool | None = None,
    redact: Callable[[str, Any], Any] | None = None,
) -> Callable[[Function], Function]: ...
def record_tool(tool_name: Any = None, **own: Any) -> Any:
    """Show calls of a function as a tool; otherwise like `record_function`."""
    return _decorated("tool", tool_name, own)


def _decorated(kind: str, name: Any, own: dict[str, Any]) -> Any:
    if callable(name):
        return watched(name, _observer(kind, None, own))
    return partial(_watched_by, _observer(kind, name, own))


def _watched_by(observer: FunctionObserver, function: Function) -> Function:
    return watched(function, observer)


def _observer(kind: str, name: str | None, own: dict[str, Any]) -> FunctionObserver:
    changed = {field: value for field, value in own.items() if value is not None}
    if "capture_content" in changed:
        changed["capture"] = changed.pop("capture_content")
    return partial(_observe, kind, name, changed)


def _observe(
    kind: str, name: str | None, own: dict[str, Any], invocation: Invocation
) -> Generator[None]:
    if otel.suppressed():
        return
    shape = current()
    content = replace(shape.content if shape else Content(), **own)
    name = name or invocation.function.__name__
    attributes = {"agentops.span.kind": kind, "operation.name": name}
    if given := shown_arguments(invocation, content):
        attributes["agentops.entity.input"] = write({"args": [], "kwargs": given})
    with untold(_tracer.start_as_current_span(f"{name}.{kind}", attributes=attributes)) as span:
        yield
        if invocation.error is not None:
            span.set_attribute("error.type", type(invocation.error).__name__)
            span.set_status(Status(StatusCode.ERROR, shown_error(invocation.error, content)))
        elif content.capture:
            span.set_attribute("agentops.entity.output", write(shown_result(invocation, content)))
