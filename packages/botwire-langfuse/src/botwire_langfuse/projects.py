"""Which Langfuse project an operation belongs to.

It is the one that was asked for, else that of the observation around the operation, else the only
one there is. Where several would do, none gets it: what an agent remembers must not turn up in
somebody else's project, and a span outside Langfuse's own API would be sent to all of them.

Langfuse has no public way to ask which clients exist and what they do; `_instances`, `_mask` and
`_otel_tracer` are where all versions from 3.9 to 5 keep it. Nothing else of it is private but what
`native.py` lets it do for masks.
"""

import logging
import os
from enum import Enum
from typing import Any

from langfuse import Langfuse, get_client
from langfuse._client import resource_manager  # pyright: ignore[reportMissingTypeStubs]
from opentelemetry import trace

__all__ = ["UNTOLD", "Project", "Projects", "mask_of", "tracer_of"]

log = logging.getLogger("botwire.langfuse")

_managers: Any = resource_manager


class Project(Enum):
    """What an operation belongs to when it is no client's."""

    NONE = "Langfuse is not in use here"
    UNCLEAR = "several projects are"


class Projects:
    """Finds the client for what happens here and now.

    Args:
        public_key: the project that gets everything.
    """

    def __init__(self, public_key: str | None = None) -> None:
        self.public_key = public_key
        self._clients: dict[str, tuple[Any, Langfuse, bool]] = {}
        self._warned = False

    def find(self) -> Langfuse | Project:
        """The client, or why there is none."""
        instances = _instances()
        if not instances and _configured():
            get_client()  # the one that the environment describes, as @observe makes it
            instances = _instances()
        key = self.public_key or _enclosing()
        if key is None and len(instances) == 1:
            (key,) = instances
        if key in instances:
            _, client, sends = self._client(key, instances[key])
            return client if sends or len(instances) > 1 else Project.NONE
        return self._unclear(key) if instances else Project.NONE

    def _client(self, key: str, instance: object) -> tuple[Any, Langfuse, bool]:
        """What makes it a project's, its client, and whether that one makes observations."""
        known = self._clients.get(key)
        if known is None or known[0] is not instance:
            client = get_client(public_key=key)
            known = self._clients[key] = instance, client, _sends(client)
        return known

    def _unclear(self, key: str | None) -> Project:
        if not self._warned:
            self._warned = True
            which = f"no client of the project {key!r}" if key else "several Langfuse projects"
            log.warning(
                "there are %s, so memory operations are not observed here;"
                " name one: botwire_langfuse.instrument(public_key=...)",
                which,
            )
        return Project.UNCLEAR


def _instances() -> dict[str, object]:
    return _managers.LangfuseResourceManager._instances


def _configured() -> bool:
    return all(os.environ.get(f"LANGFUSE_{name}_KEY") for name in ("PUBLIC", "SECRET"))


def _enclosing() -> str | None:
    """The project of the observation around us; Langfuse marks its spans with it."""
    scope: Any = getattr(trace.get_current_span(), "instrumentation_scope", None)
    attributes: Any = getattr(scope, "attributes", None)
    return attributes.get("public_key") if attributes and scope.name == "langfuse-sdk" else None


def _sends(client: Langfuse) -> bool:
    """Whether it makes observations at all; without keys, or switched off, it makes none."""
    return not isinstance(tracer_of(client), trace.NoOpTracer)


def tracer_of(client: Langfuse) -> trace.Tracer | None:
    """What makes the spans of its observations, if it can be told."""
    return getattr(client, "_otel_tracer", None)


UNTOLD = "it cannot be told"


def mask_of(client: Langfuse) -> Any:
    """What may change inputs, outputs and metadata before it sends them: None, a mask or UNTOLD."""
    return getattr(client, "_mask", UNTOLD)
