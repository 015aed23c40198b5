"""Memory operations, flows and tools in Humanloop's logs. Legacy: the hosted service has closed.

For code that runs the SDK 0.8.38 against something that speaks its API.

- `flow` and `tool` stand for `hl.flow` and `hl.tool`, which swallow what a function raises and work
  on plain functions only. These raise it, and take functions of every kind.
- A span that is sent to Humanloop is never made the current one: other backends would see a parent
  that nobody sends them.
- When Humanloop cannot be reached, functions run as if it were not there.
"""

from collections.abc import Callable, Generator
from contextlib import ExitStack
from typing import Any, TypeVar, cast

from humanloop import Humanloop
from humanloop.context import (
    DecoratorContext,
    get_trace_id,
    set_decorator_context,
    set_trace_id,
)
from humanloop.otel.helpers import write_to_opentelemetry_span

from botwire import telemetry
from botwire.jsontext import write
from botwire.telemetry import Call
from botwire.telemetry.content import Content, plain
from botwire.telemetry.conventions import error_type
from botwire.telemetry.functions import (
    Invocation,
    shown_arguments,
    shown_error,
    shown_result,
    watched,
)

__all__ = ["flow", "instrument", "tool", "uninstrument"]

Function = TypeVar("Function", bound=Callable[..., Any])

NOT_RECORDED = "(not recorded)"  # Humanloop completes a log only with an output or an error


class MemoryLogs:
    """The observer that logs the operations of a flow as tools."""

    def __init__(self, client: Humanloop, prefix: str, content: Content) -> None:
        self.client = client
        self.content = content
        self._prefix = prefix

    def __call__(self, call: Call) -> Generator[None]:
        parent = get_trace_id()
        if parent is None:  # outside of any flow there is no log it could belong to
            return
        name = call.operation.name
        kernel = _named(f"memory_{name}", "")
        span = _start(self.client, "tool", f"{self._prefix}{name}", kernel)
        inputs = {"namespace": self.content.name(call.operation.namespace)}
        inputs |= plain(self.content.input(call))
        try:
            yield
        finally:
            log: dict[str, Any] = {"inputs": inputs, "trace_parent_id": parent}
            if call.error is None:
                log["output"] = write(self.content.output(call))
            else:
                log["error"] = error_type(call.error)
            _end(span, log)


_current: MemoryLogs | None = None


def instrument(
    client: Humanloop,
    *,
    prefix: str = "botwire/",
    capture_content: bool | None = None,
    redact: Callable[[str, Any], Any] | None = None,
    hash_keys: bool = False,
    content_limit: int = 8192,
) -> None:
    """Log the memory operations inside flows, as tools at `botwire/get` and so on.

    Flows are those of `flow` here and of the SDK's own `@client.flow`.

    Args:
        client: where they are logged.
        prefix: what stands before their names in the paths.
        capture_content: record values; None: as the environment variable
            OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT says.
        redact: `redact(key, value)` returns what is recorded in place of a value.
        hash_keys: record hashes in place of namespaces, keys and prefixes.
        content_limit: characters of JSON recorded of the values of one operation.
    """
    global _current
    uninstrument()
    content = Content(capture_content, redact, hash_keys, content_limit)
    _current = MemoryLogs(client, prefix, content)
    telemetry.add(_current)


def uninstrument() -> None:
    """Undo `instrument`."""
    global _current
    if _current is not None:
        telemetry.remove(_current)
    _current = None


# -- functions -------------------------------------------------------------------------------------


def flow(
    client: Humanloop,
    *,
    path: str | None = None,
    attributes: dict[str, Any] | None = None,
    capture_content: bool | None = None,
    redact: Callable[[str, Any], Any] | None = None,
) -> Callable[[Function], Function]:
    """`client.flow`, but what the function raises is raised, and functions of every kind work.

    Args:
        path: where it is logged; the function's name without it.
        attributes: what makes up a version of the flow.
        capture_content, redact: record inputs, output and the text of errors, each passed through
            `redact` under its name or "return"; None: as the environment variable says.
    """
    content = Content(capture_content, redact)

    def decorate(function: Function) -> Function:
        there = path or function.__name__

        def observe(invocation: Invocation) -> Generator[None]:
            version = {"attributes": attributes or {}}
            given = shown_arguments(invocation, content)
            with ExitStack() as stack:
                context = DecoratorContext(there, "flow", version)
                stack.enter_context(set_decorator_context(context))
                span = _start(client, "flow", there, {})
                log_id = _begin(client, there, version, given)
                stack.enter_context(set_trace_id(log_id))
                try:
                    yield
                finally:
                    log = {"id": log_id, "log_status": "complete"}
                    _end(span, log | _outcome(invocation, content))

        return watched(function, observe)

    return decorate


def _begin(client: Humanloop, path: str, version: Any, given: dict[str, Any]) -> str:
    """Log that a flow has begun, so that what happens in it has a parent; its id."""
    begun = cast("Any", client.flows)._log(  # the public one refuses inside another flow
        path=path,
        flow=version,
        log_status="incomplete",
        inputs=given,
        trace_parent_id=get_trace_id(),
    )
    return begun.id


def tool(
    client: Humanloop,
    *,
    path: str | None = None,
    capture_content: bool | None = None,
    redact: Callable[[str, Any], Any] | None = None,
) -> Callable[[Function], Function]:
    """`client.tool`, but what the function raises is raised, and functions of every kind work."""
    content = Content(capture_content, redact)

    def decorate(function: Function) -> Function:
        there = path or function.__name__
        kernel = _kernel(client, there, function)

        def observe(invocation: Invocation) -> Generator[None]:
            given = shown_arguments(invocation, content)
            span = _start(client, "tool", there, kernel)
            try:
                yield
            finally:
                log = {"inputs": given, "trace_parent_id": get_trace_id()}
                _end(span, log | _outcome(invocation, content))

        return watched(function, observe)

    return decorate


def _kernel(client: Humanloop, path: str, function: Callable[..., Any]) -> dict[str, Any]:
    """What Humanloop knows a tool by. The SDK reads it from the source of plain functions."""
    try:
        return dict(cast("Any", client.tool(path=path)(function)).file["version"])
    except (AttributeError, OSError, TypeError, ValueError):
        return _named(function.__name__, function.__doc__ or "")


def _named(name: str, description: str) -> dict[str, Any]:
    return {"function": {"name": name, "description": description, "parameters": {}}}


def _outcome(invocation: Invocation, content: Content) -> dict[str, Any]:
    if invocation.error is not None:
        return {"error": shown_error(invocation.error, content)}
    output = shown_result(invocation, content) if content.capture else NOT_RECORDED
    return {"output": output if isinstance(output, str) else write(output)}


def _start(client: Humanloop, kind: str, path: str, kernel: dict[str, Any]) -> Any:
    """A span in the SDK's own form, as its exporter takes it; what it is stands there first."""
    span = cast("Any", client)._opentelemetry_tracer.start_span(f"humanloop.{kind}")
    write_to_opentelemetry_span(span, kernel, "humanloop.file")
    span.set_attributes({"humanloop.file.path": path, "humanloop.file.type": kind})
    return span


def _end(span: Any, log: dict[str, Any]) -> None:
    write_to_opentelemetry_span(span, log, "humanloop.log")
    span.end()
