"""What hooks know about one run of an Agent while it goes on.

A hook is not told at which point it is called, and after loading an Agent from a file the hook of
each point is an object of its own. So what belongs to a run hangs on the run's State, not on hooks.
"""

from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

from haystack.components.agents.state import State, replace_values
from haystack.dataclasses import ChatMessage, ChatRole

from haystack_integrations.common.botwire import identified, message_id

__all__ = ["Run", "identifier", "messages_of", "number"]


@dataclass
class Run:
    """One run.

    Attributes:
        numbered: ids given to messages in this run, which therefore are new.
        saved: conversation -> ids of the messages known to be in it.
        versions: checkpoint -> the version this run wrote last.
        calls: tool calls made so far, as of the last checkpoint.
        steps: how many steps a finished run had.
        restored: a checkpoint brought this run back to behind its first step.
    """

    numbered: set[str] = field(default_factory=set[str])
    saved: dict[str, set[str]] = field(default_factory=dict[str, set[str]])
    versions: dict[str, int] = field(default_factory=dict[str, int])
    calls: int = 0
    steps: int = 0
    restored: bool = False

    @staticmethod
    def of(state: State) -> "Run":
        """The run this State belongs to."""
        return _runs.setdefault(state, Run())


_runs: WeakKeyDictionary[State, Run] = WeakKeyDictionary()


def identifier(state: State, name: str, fixed: str | None) -> str:
    """An id from the run's hook_context, else from its State, else the one the hook was made with.

    Raises:
        ValueError: it is nowhere; without it nothing could be kept.
    """
    context: dict[str, Any] = state.data.get("hook_context") or {}
    found = context.get(name) or state.data.get(name) or fixed
    if not found:
        raise ValueError(
            f"this run has no {name}: pass hook_context={{{name!r}: ...}} to run(), or put {name!r}"
            " into the Agent's state_schema"
        )
    return str(found)


def messages_of(state: State) -> list[ChatMessage]:
    return state.data.get("messages") or []


def number(state: State) -> None:
    """Give an id to every message that lacks one, so that all stores know it by the same name.

    System messages are made anew by each run from the Agent's prompt, and stay as they are.
    """
    messages, run = messages_of(state), Run.of(state)
    nameless = [m for m in messages if message_id(m) is None and not m.is_from(ChatRole.SYSTEM)]
    if not nameless:
        return
    known = {id(message): identified(message) for message in nameless}
    run.numbered |= {str(message_id(message)) for message in known.values()}
    named = [known.get(id(message), message) for message in messages]
    state.set("messages", named, handler_override=replace_values)
