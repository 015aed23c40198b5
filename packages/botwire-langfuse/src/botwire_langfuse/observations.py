"""Operations as native observations of Langfuse.

- Made as Langfuse makes its own (`native.py`) and not as plain spans, so that its mask applies, one
  project gets them, and versions 3.9 to 5 show them alike; they also carry the standard attributes,
  for other exporters on the same spans.
- Values stand only in input and output, where the mask sees them, and only if they were asked for.
  The mask does not see the standard attributes, so with a mask names stand there as hashes.
- Reads are retrievers and writes are tools: Langfuse knows no type for memory.
"""

from collections.abc import Callable, Generator
from typing import Any

from opentelemetry import trace

from botwire import otel, telemetry
from botwire.errors import BotWireError, Conflict
from botwire.stores.base import Mode
from botwire.telemetry import Call
from botwire.telemetry.content import Content
from botwire_langfuse.native import maker
from botwire_langfuse.projects import Project, Projects

__all__ = ["Observations", "current", "instrument", "uninstrument"]


class Observations:
    """The observer that makes an observation of each operation.

    Args:
        content: what is recorded of values.
        public_key: the project that gets them; None: see `projects.py`.
    """

    def __init__(self, content: Content, public_key: str | None = None) -> None:
        self.content = content
        self.projects = Projects(public_key)
        self._names = Content(capture=False, hash_keys=content.hash_keys)
        self._hashes = Content(capture=False, hash_keys=True)

    def __call__(self, call: Call) -> Generator[None]:
        if otel.suppressed():
            return
        client = self.projects.find()
        if isinstance(client, Project):
            if client is Project.NONE:
                yield from otel.observe(call)  # others may still want to see it
            return
        make = maker(client)
        names = self._hashes if make.masked else self._names
        with make.start(
            otel.span_name(call, f"botwire.{call.operation.name}"),
            "tool" if call.operation.mode is Mode.WRITE else "retriever",
            otel.attributes_at_start(call, names),
            {"input": self.content.input(call), "metadata": self._metadata(call)},
        ) as observation:
            span = trace.get_current_span()
            otel.inject(call)
            yield
            otel.finish(
                span,
                call,
                names,
                lambda found: make.finish(observation, found, self._outcome(call)),
            )

    def _metadata(self, call: Call) -> dict[str, Any]:
        """Where it happened. Langfuse hides the other attributes of its own spans."""
        found: dict[str, Any] = {"namespace": self.content.name(call.operation.namespace)}
        if call.server is not None:
            found["server"] = "{}:{}".format(*call.server)
        return found

    def _outcome(self, call: Call) -> dict[str, Any]:
        attempts = {"metadata": {"attempts": call.attempts}} if call.attempts > 1 else {}
        if call.error is None:
            return attempts | {"output": self.content.output(call)}
        level = "WARNING" if isinstance(call.error, Conflict) else "ERROR"
        return attempts | {"level": level, "status_message": _message(call.error)}


def _message(error: BaseException) -> str:
    """What went wrong, in words that hold no key and no value."""
    if isinstance(error, BotWireError):
        return f"{error.title} ({error.code})"
    return type(error).__name__


def instrument(
    *,
    public_key: str | None = None,
    capture_content: bool | None = None,
    redact: Callable[[str, Any], Any] | None = None,
    hash_keys: bool = False,
    content_limit: int = 8192,
) -> None:
    """Show all operations of this process in Langfuse, from now on.

    It may be called before or after the Langfuse client is made. Without a client, or with one that
    is switched off, operations stay visible to other OpenTelemetry backends as before.

    Args:
        public_key: the project that gets them. Without it that of the observation around an
            operation, or the only one there is.
        capture_content: record values in input and output (Langfuse's mask applies); None: as the
            environment variable OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT says.
        redact: `redact(key, value)` returns what is recorded in place of a value.
        hash_keys: record hashes in place of namespaces, keys and prefixes.
        content_limit: characters of JSON recorded of the values of one operation.

    >>> instrument(capture_content=True, redact=lambda key, value: "***" if "pin" in key else value)
    >>> uninstrument()
    """
    global _current
    content = Content(capture_content, redact, hash_keys, content_limit)
    _current = Observations(content, public_key)
    telemetry.set_span_maker(_current)


def uninstrument() -> None:
    """Undo `instrument`."""
    global _current
    _current = None
    telemetry.set_span_maker(None)


_current: Observations | None = None


def current() -> Observations | None:
    """What `instrument` set up, if it was called."""
    return _current
