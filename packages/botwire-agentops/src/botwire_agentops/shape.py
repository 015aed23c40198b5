"""What AgentOps wants to see on the span of an operation, so that it shows it as a tool.

AgentOps takes any span with `gen_ai.` attributes for a call of a model unless its name ends in
`.tool`, and it shows what stands in `agentops.entity.*`, not in the attributes that its own
decorator for tools writes.
"""

from collections.abc import Callable
from typing import Any

from botwire import otel
from botwire.jsontext import write
from botwire.telemetry import Call
from botwire.telemetry.content import Content
from botwire.telemetry.conventions import error_type
from botwire_agentops.checks import check, started

__all__ = ["ToolShape", "current", "instrument", "uninstrument"]


class ToolShape:
    """Shows an operation as a tool with arguments and results."""

    def __init__(self, content: Content, repair: bool = False) -> None:
        self.content = content
        self._repair = repair
        self._checked = False

    def name(self, call: Call) -> str:
        return f"botwire.{call.operation.name}.tool"

    def at_start(self, call: Call) -> dict[str, Any]:
        if not self._checked:
            self._check()
        name = f"botwire.{call.operation.name}"
        namespace = self.content.name(call.operation.namespace)
        arguments = write({"namespace": namespace, **self.content.input(call)})
        return {
            "agentops.span.kind": "tool",
            "operation.name": name,
            "tool.name": name,
            "tool.parameters": arguments,
            "agentops.entity.input": f'{{"args":[],"kwargs":{arguments}}}',
        }

    def at_end(self, call: Call) -> dict[str, Any]:
        if call.error is not None:
            found = write({"error": error_type(call.error)})
        else:
            found = write(self.content.output(call))
        return {"tool.result": found, "agentops.entity.output": found}

    def _check(self) -> None:
        """AgentOps may be started after us; what keeps spans from it is worth saying once."""
        if started():
            self._checked = True
            check(repair=self._repair)


_current: ToolShape | None = None


def current() -> ToolShape | None:
    """What `instrument` set up, if it was called."""
    return _current


def instrument(
    *,
    repair: bool = False,
    capture_content: bool | None = None,
    redact: Callable[[str, Any], Any] | None = None,
    hash_keys: bool = False,
    content_limit: int = 8192,
) -> None:
    """Show all operations of this process in AgentOps, as tools.

    It may be called before or after `agentops.init()`; at the first operation after that `check()`
    looks whether AgentOps gets them at all, and logs a warning when not.

    Args:
        repair: mend what `check()` finds.
        capture_content: record values in arguments and results; None: as the environment variable
            OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT says.
        redact: `redact(key, value)` returns what is recorded in place of a value.
        hash_keys: record hashes in place of namespaces, keys and prefixes.
        content_limit: characters of JSON recorded of the values of one operation.

    >>> instrument(capture_content=True)
    >>> uninstrument()
    """
    global _current
    uninstrument()
    _current = ToolShape(Content(capture_content, redact, hash_keys, content_limit), repair)
    otel.add_shape(_current)


def uninstrument() -> None:
    """Undo `instrument`."""
    global _current
    if _current is not None:
        otel.remove_shape(_current)
    _current = None
