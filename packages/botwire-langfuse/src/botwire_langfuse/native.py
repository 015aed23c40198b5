"""How an observation is made: by Langfuse's own call, or as the span that comes of it.

An observation is a span of its client's tracer, with attributes that Langfuse documents
(`LangfuseOtelSpanAttributes`; langfuse.com/integrations/native/opentelemetry#property-mapping).
Its own call takes longer than that span and the operation together: it looks for media in all data
and looks types up, several times. So the span is made here. Sampling, filter, export and what
`propagate_attributes` set are the client's all the same, and so is what arrives.

- What Langfuse puts on every observation, and how it writes metadata, is asked of Langfuse.
- When the answer is not one that is known here, or its mask cannot be told, its own call is used.
- A mask is shown input, output and metadata, as it is there; but only what there is of them, and
  files inside of values are not uploaded before it has seen them.
- Baggage does not say that the trace is Langfuse's, as it does for its own: none is sent anyway.
"""

import logging
from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import lru_cache
from typing import Any, Protocol, cast

from langfuse import Langfuse, LangfuseOtelSpanAttributes, LangfuseRetriever, LangfuseTool
from langfuse._client import attributes  # pyright: ignore[reportMissingTypeStubs]
from opentelemetry import trace
from opentelemetry.trace import Status, StatusCode

from botwire import otel
from botwire.errors import InvalidValue
from botwire.jsontext import encode, write
from botwire.telemetry import untold
from botwire.telemetry.content import plain
from botwire_langfuse.projects import UNTOLD, mask_of, tracer_of

__all__ = ["Maker", "maker"]

log = logging.getLogger("botwire.langfuse")

langfuse: Any = attributes  # private, and only what a mask needs is made by it

Attributes = dict[str, Any]  # whoever is given them may add to them
Shown = Mapping[str, Any]  # input, output, metadata, level, status_message


class Maker(Protocol):
    """Makes the observations of one client.

    Attributes:
        masked: whether a mask changes what is shown. It sees no other attributes of a span.
    """

    masked: bool

    def start(
        self, name: str, as_type: str, attributes: Attributes, shown: Shown
    ) -> AbstractContextManager[Any]:
        """An observation that is current in the block, and further attributes on its span."""
        ...

    def finish(self, observation: Any, attributes: Attributes, shown: Shown) -> None:
        """Show more on it, by its own means or by adding to the attributes its span is given."""
        ...


@lru_cache(maxsize=64)
def maker(client: Langfuse) -> Maker:
    """What makes the observations of this client."""
    tracer, mask = tracer_of(client), mask_of(client)
    if tracer is not None and mask is not UNTOLD:
        try:
            return BySpan(client, tracer) if mask is None else Masked(client, tracer, mask)
        except Exception:  # of Langfuse's code, which another version may have changed
            log.info("observations are made by Langfuse's own call, which is slower", exc_info=True)
    return ByCall(client)


class ByCall:
    """Makes them by Langfuse's own call."""

    def __init__(self, client: Langfuse) -> None:
        self._client: Any = client
        self.masked = mask_of(client) is not None
        # A mask is shown values as they are; without one, text saves Langfuse writing it.
        self._form: Callable[[Any], Any] = plain if self.masked else write

    @contextmanager
    def start(
        self, name: str, as_type: str, attributes: Attributes, shown: Shown
    ) -> Generator[Any]:
        block = self._client.start_as_current_observation(
            name=name, as_type=as_type, **self._formed(shown)
        )
        with untold(block) as observation:
            trace.get_current_span().set_attributes(attributes)
            yield observation

    def finish(self, observation: Any, attributes: Attributes, shown: Shown) -> None:
        observation.update(**self._formed(shown))

    def _formed(self, shown: Shown) -> dict[str, Any]:
        return {
            name: self._form(value) if name in ("input", "output") else value
            for name, value in shown.items()
        }


class BySpan:
    """Makes them as spans of the client's tracer; fails if Langfuse makes them unlike this."""

    masked = False

    def __init__(self, client: Langfuse, tracer: trace.Tracer) -> None:
        self._tracer = tracer
        self._common: dict[str, Mapping[str, Any]] = {}
        for as_type, kind in (("tool", LangfuseTool), ("retriever", LangfuseRetriever)):
            noted = self._noted(client, kind)
            form = noted.pop(f"{METADATA}.text"), noted.pop(f"{METADATA}.number")
            self._metadata_form = METADATA_FORMS[form]
            if noted[LangfuseOtelSpanAttributes.OBSERVATION_TYPE] != as_type:
                raise ValueError(f"an observation of type {as_type} has {noted}")
            self._common[as_type] = noted

    def _noted(self, client: Langfuse, kind: Callable[..., Any]) -> Attributes:
        """The attributes of an observation that has nothing but metadata."""
        span = Notes()
        kind(otel_span=span, langfuse_client=client, metadata=PROBE)
        return span.noted

    def start(
        self, name: str, as_type: str, attributes: Attributes, shown: Shown
    ) -> AbstractContextManager[Any]:
        attributes |= self._common[as_type]
        self._show(shown, attributes)
        return otel.Current(self._tracer.start_span(name, attributes=attributes))

    def finish(self, observation: Any, attributes: Attributes, shown: Shown) -> None:
        self._show(shown, attributes)
        if shown.get("level") == "ERROR":
            observation.set_status(Status(StatusCode.ERROR, shown["status_message"]))

    def _show(self, shown: Shown, attributes: Attributes) -> None:
        """Put them behind the others: a span that is full drops what came first."""
        for name, value in shown.items():
            if name == "metadata":
                for key, part in value.items():
                    attributes[f"{METADATA}.{key}"] = self._metadata_form(part)
            else:
                attributes[NAMES[name]] = write(value) if name in ("input", "output") else value


class Masked(BySpan):
    """Makes them as spans that show what the user's mask makes of input, output and metadata."""

    masked = True

    def __init__(self, client: Langfuse, tracer: trace.Tracer, mask: Callable[..., Any]) -> None:
        super().__init__(client, tracer)
        self._mask = mask
        if _anything("input", "x") != {NAMES["input"]: "x"}:
            raise ValueError("attributes are made in another way")

    def _noted(self, client: Langfuse, kind: Callable[..., Any]) -> Attributes:
        """Without what the mask makes of nothing and of the metadata, which is asked for apart."""
        noted = super()._noted(client, kind)
        masked = (NAMES["input"], NAMES["output"], METADATA)
        common = {name: value for name, value in noted.items() if not name.startswith(masked)}
        return common | _anything("metadata", PROBE)

    def _show(self, shown: Shown, attributes: Attributes) -> None:
        for name, value in shown.items():
            if name in ("input", "output", "metadata"):
                seen = self._seen(name, value)
                attributes |= self._plain(name, seen) or _anything(name, seen)
            else:
                attributes[NAMES[name]] = value

    def _seen(self, name: str, value: Any) -> Any:
        """What the mask makes of a copy, which it may change."""
        try:
            return self._mask(data=dict(value) if _simple(value) else plain(value))
        except Exception as failure:  # whose text may quote a value
            log.error("the mask failed with %s, so all is masked", type(failure).__name__)
            return dict.fromkeys(value, FAILED) if name == "metadata" else FAILED

    def _plain(self, name: str, seen: Any) -> Attributes | None:
        """The attributes of plain data, if it is: Langfuse takes several times as long for them."""
        if type(seen) is not dict:
            return None
        data = cast("dict[str, Any]", seen)
        if name != "metadata":
            try:
                return {NAMES[name]: encode(data)}
            except InvalidValue:
                return None
        if _simple(data):
            return {f"{METADATA}.{key}": self._metadata_form(part) for key, part in data.items()}
        return None


def _simple(data: Mapping[str, Any]) -> bool:
    """Whether it is as plain as most of what is shown without values."""
    return {*map(type, data.values())} <= {str, int}


def _anything(name: str, seen: Any) -> Attributes:
    """The attributes that Langfuse makes of whatever a mask returns."""
    return langfuse.create_span_attributes(observation_type=None, **{name: seen})


FAILED = "<fully masked due to failed mask function>"  # as Langfuse has it
METADATA = LangfuseOtelSpanAttributes.OBSERVATION_METADATA
PROBE = {"text": "x", "number": 1}
METADATA_FORMS: Mapping[tuple[Any, Any], Callable[[Any], Any]] = {
    ("x", 1): lambda value: value,  # before Langfuse 5
    ('"x"', "1"): write,
}
NAMES = {
    "input": LangfuseOtelSpanAttributes.OBSERVATION_INPUT,
    "output": LangfuseOtelSpanAttributes.OBSERVATION_OUTPUT,
    "level": LangfuseOtelSpanAttributes.OBSERVATION_LEVEL,
    "status_message": LangfuseOtelSpanAttributes.OBSERVATION_STATUS_MESSAGE,
}


class Notes(trace.NonRecordingSpan):
    """A span that belongs to no trace and only notes which attributes it is given."""

    def __init__(self) -> None:
        super().__init__(trace.INVALID_SPAN_CONTEXT)
        self.noted: dict[str, Any] = {}

    def is_recording(self) -> bool:
        return True

    def set_attribute(self, key: str, value: Any) -> None:
        self.noted[key] = value

    def set_attributes(self, attributes: Mapping[str, Any]) -> None:
        self.noted.update(attributes)
