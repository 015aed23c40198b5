"""Whose memories: the store and the namespace of a run, which no model ever chooses.

A namespace is a template such as `("memories", "{user_id}")`. Its fields are filled from the run's
`context`, then from `config["configurable"]`; a field that is in neither is an error, so that one
user's memories never go to a place that all share. What is filled in stays one label, whatever
characters it has.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import Formatter
from typing import Any, cast

from langchain_core.runnables import ensure_config
from langgraph.store.base import BaseStore, PutOp, validate_op_namespace

from botwire.errors import InvalidRequest

__all__ = ["Scope"]


@dataclass(frozen=True, slots=True)
class Scope:
    """A namespace to be filled in, and the store to use where the run brings none."""

    template: tuple[str, ...]
    store: BaseStore | None = None

    @classmethod
    def of(cls, namespace: str | Sequence[str], store: BaseStore | None) -> "Scope":
        labels = (namespace,) if isinstance(namespace, str) else tuple(namespace)
        validate_op_namespace(PutOp(labels, "", None))
        if not labels:
            raise InvalidRequest("the namespace is empty", hint='Say ("memories", "{user_id}").')
        return cls(labels, store)

    def current(self) -> tuple[BaseStore, tuple[str, ...]]:
        """The store and the namespace of the run this is called in."""
        runtime = _runtime()
        return self.within(getattr(runtime, "store", None), getattr(runtime, "context", None))

    def within(self, store: BaseStore | None, context: Any) -> tuple[BaseStore, tuple[str, ...]]:
        """The store (its own goes first) and the namespace of a run with this context."""
        place = self.store or store
        if place is None:
            raise InvalidRequest(
                "there is no store to remember in",
                hint="Pass store= here or to create_agent: BotWireStore().",
            )
        return place, tuple(_filled(label, context) for label in self.template)


def _filled(label: str, context: Any) -> str:
    parts: list[str] = []
    for literal, name, _, _ in Formatter().parse(label):
        parts.append(literal)
        if name is not None:
            parts.append(_label(name, _value(name, context)))
    return "".join(parts)


def _value(name: str, context: Any) -> Any:
    configurable = ensure_config().get("configurable", {})
    for source in (context, configurable):
        if isinstance(source, Mapping):
            value = cast("Mapping[str, Any]", source).get(name)
        else:
            value = getattr(source, name, None)
        if value is not None:
            return value
    raise InvalidRequest(
        f"the namespace needs {{{name}}}, which is neither in the run's context nor in its config",
        hint=f"Run the agent with context=...({name}=...) or configurable {name}.",
    )


def _label(name: str, value: Any) -> str:
    text = str(value)
    if not text:
        raise InvalidRequest(
            f"{{{name}}} is empty, and so would be shared by everybody without one"
        )
    # A label may not hold "." or NUL; the escape character is escaped so that nothing coincides.
    return text.replace("%", "%25").replace(".", "%2E").replace("\0", "%00")


def _runtime() -> Any:
    """The run this is called in; None outside of one, or where LangGraph is not installed."""
    try:
        from langgraph.runtime import get_runtime

        return get_runtime()
    except (ImportError, RuntimeError, KeyError):
        return None
