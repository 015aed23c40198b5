"""Conversations in which every tool call has its result, however they were cut or broken off.

Model providers refuse a call without a result, and a result without its call. A process that dies
between the two leaves the first; a view that shows part of a conversation may leave either.
"""

from collections.abc import Sequence

from autogen_core import FunctionCall
from autogen_core.models import (
    AssistantMessage,
    FunctionExecutionResult,
    FunctionExecutionResultMessage,
    LLMMessage,
    SystemMessage,
    UserMessage,
)

__all__ = ["INTERRUPTED", "mended", "trimmed"]

INTERRUPTED = (
    "No result: the process ended before this call answered. It may or may not have taken effect."
)


def mended(messages: Sequence[LLMMessage]) -> list[LLMMessage]:
    """The messages with a stand-in for each missing result, and without results of no call."""
    whole: list[LLMMessage] = []
    for message, following in _with_following(messages):
        if isinstance(message, FunctionExecutionResultMessage):
            continue  # taken together with its call
        whole.append(message)
        calls = _calls(message)
        if calls:
            whole.append(_answer(calls, _results(following), following))
    return whole


def _with_following(
    messages: Sequence[LLMMessage],
) -> "zip[tuple[LLMMessage, LLMMessage | None]]":
    return zip(messages, [*messages[1:], None], strict=False)


def _calls(message: LLMMessage | None) -> list[FunctionCall]:
    if isinstance(message, AssistantMessage) and not isinstance(message.content, str):
        return message.content
    return []


def _results(message: LLMMessage | None) -> list[FunctionExecutionResult]:
    return message.content if isinstance(message, FunctionExecutionResultMessage) else []


def _answer(
    calls: list[FunctionCall],
    results: list[FunctionExecutionResult],
    following: LLMMessage | None,
) -> LLMMessage:
    """The message behind the calls, or one like it in which every call has a result."""
    known = {result.call_id: result for result in results}
    if following is not None and known.keys() == {call.id for call in calls}:
        return following
    return FunctionExecutionResultMessage(
        content=[known.get(call.id) or _interrupted(call) for call in calls]
    )


def _interrupted(call: FunctionCall) -> FunctionExecutionResult:
    return FunctionExecutionResult(
        content=INTERRUPTED, name=call.name, call_id=call.id, is_error=True
    )


def trimmed(whole: Sequence[LLMMessage], shown: Sequence[LLMMessage]) -> list[LLMMessage]:
    """What a view shows of a conversation, cut at a user message and with whole tool calls.

    The newest question is always there, even when the tool calls made for it fill the view.

    Args:
        whole: the conversation, mended.
        shown: the messages of it that the view shows, and perhaps some of the view's own.
    """
    places = {id(message): place for place, message in enumerate(whole)}
    if [places.get(id(message)) for message in shown] == list(range(len(whole))):
        return list(shown)
    kept = _pairs(shown)
    question = next((m for m in reversed(whole) if isinstance(m, UserMessage)), None)
    if question is None:
        return kept
    if not any(message is question for message in kept):
        asked = places[id(question)]
        later = (i for i, message in enumerate(kept) if places.get(id(message), -1) > asked)
        kept.insert(next(later, len(kept)), question)
    start = next(i for i, message in enumerate(kept) if isinstance(message, UserMessage))
    return [m for m in kept[:start] if isinstance(m, SystemMessage)] + kept[start:]


def _pairs(shown: Sequence[LLMMessage]) -> list[LLMMessage]:
    """The messages without calls and results whose counterpart is not beside them."""
    kept: list[LLMMessage] = []
    for message, following in _with_following(shown):
        calls, results = _calls(message), _results(following)
        if isinstance(message, FunctionExecutionResultMessage):
            continue  # taken together with its call
        if not calls:
            kept.append(message)
        elif {call.id for call in calls} == {result.call_id for result in results}:
            kept += [message, following] if following is not None else []
    return kept
