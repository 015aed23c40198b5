"""The memory block: one message of a context that says what is remembered.

- However many turns, a context holds one block of a memory: the old one is replaced in its place.
- At the head it joins the agent's own system messages, so that clients which refuse scattered
  system messages (Claude, Gemini, most self-hosted models) accept it.
- A buffered context shows only its newest messages and would cut off the head, so there the block
  stands before the newest user message, in the role of a user.
- Contexts are changed through `save_state` and `load_state`, which every context has; one that
  `HoldsBlocks` keeps the blocks beside its messages and puts them in when it is read.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol, runtime_checkable

from autogen_core.model_context import BufferedChatCompletionContext, ChatCompletionContext
from autogen_core.models import LLMMessage, SystemMessage, UserMessage

__all__ = [
    "POINTER",
    "Block",
    "HoldsBlocks",
    "Placement",
    "Role",
    "is_block",
    "place_block",
    "question",
    "tail_position",
    "take_back_question",
]

Placement = Literal["auto", "head", "tail"]
Role = Literal["auto", "system", "user"]
Block = tuple[Literal["head", "tail"], LLMMessage]

POINTER = "botwire"  # names the stored conversation in the state of a context of ours
SOURCE = "botwire_memory"
OPENING = '<memory name="'


@runtime_checkable
class HoldsBlocks(Protocol):
    """A context that shows blocks and never stores them."""

    memory_blocks: dict[str, Block]


def _first_line(name: str) -> str:
    return f'{OPENING}{name}">\n'


def _message(name: str, lines: Sequence[str], role: str) -> LLMMessage:
    listed = "\n".join(f"- {line}" for line in lines)
    text = f"{_first_line(name)}What you remember, oldest first:\n{listed}\n</memory>"
    if role == "system":
        return SystemMessage(content=text)
    return UserMessage(content=text, source=SOURCE)


def is_block(message: Mapping[str, Any], name: str | None = None) -> bool:
    """Whether a dumped message is the block of this memory (None: of any)."""
    if message["type"] != "SystemMessage" and message.get("source") != SOURCE:
        return False
    content = message["content"]
    opening = OPENING if name is None else _first_line(name)
    return isinstance(content, str) and content.startswith(opening)


def _resolve(
    context: ChatCompletionContext, placement: Placement, role: Role
) -> tuple[Literal["head", "tail"], Literal["system", "user"]]:
    if placement == "auto":
        placement = "tail" if isinstance(context, BufferedChatCompletionContext) else "head"
    if role == "auto":
        role = "user" if placement == "tail" else "system"
    return placement, role


async def place_block(
    context: ChatCompletionContext,
    name: str,
    lines: Sequence[str],
    placement: Placement = "auto",
    role: Role = "auto",
) -> None:
    """Put the block of the memory `name` into the context, in place of its old one.

    Without lines the old block goes and no new one comes.
    """
    where, who = _resolve(context, placement, role)
    block = _message(name, lines, who) if lines else None
    if isinstance(context, HoldsBlocks):
        context.memory_blocks.pop(name, None)
        if block is not None:
            context.memory_blocks[name] = where, block
        return
    state = await context.save_state()
    old = list(state["messages"])
    new = _replaced(old, name, None if block is None else block.model_dump(), where)
    if new != old:
        await context.load_state({**state, "messages": new})


def _replaced(
    messages: list[dict[str, Any]], name: str, block: dict[str, Any] | None, where: str
) -> list[dict[str, Any]]:
    """The messages with this block as the only one of its memory."""
    rest = [message for message in messages if not is_block(message, name)]
    if block is None:
        return rest
    if where == "tail":
        position = tail_position([message["type"] for message in rest])
    else:
        others = next((i for i, m in enumerate(rest) if not is_block(m)), len(rest))
        old = [i for i, m in enumerate(messages[: others + 1]) if is_block(m, name)]
        position = old[0] if old else others
    return [*rest[:position], block, *rest[position:]]


def tail_position(types: Sequence[str]) -> int:
    """Before the newest question, or behind a tool's result, which belongs to its call."""
    return len(types) - bool(types and types[-1] == "UserMessage")


def question(messages: Sequence[LLMMessage]) -> str:
    """The words of the newest user message, which the memories have to fit; "" without one."""
    for message in reversed(messages):
        if isinstance(message, UserMessage) and message.source != SOURCE:
            parts = [message.content] if isinstance(message.content, str) else message.content
            return "\n".join(part for part in parts if isinstance(part, str))
    return ""


async def take_back_question(context: ChatCompletionContext) -> None:
    """Remove what was asked since the last answer, so that the run can be repeated.

    An agent adds the question before it asks its memories, and leaves it there when one fails.
    """
    state = await context.save_state()
    messages = list(state["messages"])
    while messages and messages[-1]["type"] == "UserMessage":
        messages.pop()
    if len(messages) != len(state["messages"]):
        others = {name: part for name, part in state.items() if name != POINTER}
        await context.load_state({**others, "messages": messages})
