"""Which part of a conversation is its last `k` rounds. Pure functions on messages.

A round begins with a user's message (and the system messages right before it) and holds all that
follows up to the next one. A user's message that got no reply is a round, too. What stands before
the first user's message is a round of its own. A tool result never stands without its call, even
where the rounds of two writers are mixed: the window then begins earlier.
"""

from collections.abc import Sequence

from haystack.dataclasses import ChatMessage, ChatRole, ToolCall

__all__ = ["last_rounds", "reaches_back"]


def last_rounds(messages: Sequence[ChatMessage], last_k: int) -> list[ChatMessage]:
    """The newest `last_k` rounds, oldest message first; fewer if there are no more.

    >>> ask, reply = ChatMessage.from_user("Why?"), ChatMessage.from_assistant("Because.")
    >>> last_rounds([ask, reply, ask], 1) == [ask]
    True
    """
    return list(messages[_window(messages, last_k) :]) if last_k else []


def reaches_back(messages: Sequence[ChatMessage], last_k: int) -> bool:
    """Whether the last rounds may begin before these messages, the newest of a conversation."""
    start = _window(messages, last_k)
    return start == 0 or bool(_without_call(messages[start:]))


def _window(messages: Sequence[ChatMessage], last_k: int) -> int:
    starts = _starts(messages)
    start = starts[-last_k] if last_k <= len(starts) else 0
    while start:
        missing = _without_call(messages[start:])
        called = [i for i in range(start) if missing & _names(messages[i].tool_calls)]
        if not called:
            break
        start = max(begin for begin in starts if begin <= called[0])
    return start


def _starts(messages: Sequence[ChatMessage]) -> list[int]:
    starts = {0}
    for index, message in enumerate(messages):
        if message.is_from(ChatRole.USER):
            while index and messages[index - 1].is_from(ChatRole.SYSTEM):
                index -= 1
            starts.add(index)
    return sorted(starts)


def _without_call(messages: Sequence[ChatMessage]) -> set[str]:
    """The calls that these messages hold a result of, but not the call itself."""
    calls = _names([call for message in messages for call in message.tool_calls])
    results = [result.origin for message in messages for result in message.tool_call_results]
    return _names(results) - calls


def _names(calls: Sequence[ToolCall]) -> set[str]:
    """What tells calls apart: the id, or what was called where the model gave none."""
    return {call.id or f"{call.tool_name} {call.arguments}" for call in calls}
