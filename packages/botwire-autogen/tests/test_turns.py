"""Whatever is cut or broken off: every tool call the model sees has its result, and no other."""

from collections.abc import Sequence

import pytest
from autogen_core import FunctionCall
from autogen_core.model_context import (
    BufferedChatCompletionContext,
    ChatCompletionContext,
    HeadAndTailChatCompletionContext,
    TokenLimitedChatCompletionContext,
)
from autogen_core.models import (
    AssistantMessage,
    FunctionExecutionResult,
    FunctionExecutionResultMessage,
    LLMMessage,
    SystemMessage,
    UserMessage,
)
from autogen_scripts import ScriptedClient
from hypothesis import given, settings
from hypothesis import strategies as st

from botwire_autogen.turns import INTERRUPTED, mended, trimmed


def said(content: str = "a") -> LLMMessage:
    return AssistantMessage(content=content, source="bot")


def asked(content: str = "q") -> LLMMessage:
    return UserMessage(content=content, source="user")


def called(*ids: str) -> LLMMessage:
    calls = [FunctionCall(id=name, name="tool", arguments="{}") for name in ids]
    return AssistantMessage(content=calls, source="bot")


def resulted(*ids: str) -> LLMMessage:
    results = [FunctionExecutionResult(content="ok", name="tool", call_id=name) for name in ids]
    return FunctionExecutionResultMessage(content=results)


def sound(messages: Sequence[LLMMessage]) -> bool:
    """Every call is followed by exactly its results, and no result stands anywhere else."""
    expected: set[str] = set()
    for message in messages:
        found = (
            {result.call_id for result in message.content}
            if isinstance(message, FunctionExecutionResultMessage)
            else set[str]()
        )
        if found != expected:
            return False
        expected = (
            {call.id for call in message.content if isinstance(call, FunctionCall)}
            if isinstance(message, AssistantMessage)
            else set()
        )
    return not expected


def test_a_sound_conversation_stays_the_same_messages() -> None:
    whole = [asked(), called("1", "2"), resulted("1", "2"), said()]
    assert all(a is b for a, b in zip(mended(whole), whole, strict=True))


def test_a_call_that_broke_off_gets_a_result_that_says_so() -> None:
    messages = mended([asked(), called("1")])
    assert sound(messages)
    result = messages[-1]
    assert isinstance(result, FunctionExecutionResultMessage)
    assert result.content[0].content == INTERRUPTED
    assert result.content[0].is_error


def test_results_that_came_are_kept_when_others_are_missing() -> None:
    messages = mended([asked(), called("1", "2"), resulted("2"), asked()])
    result = messages[2]
    assert isinstance(result, FunctionExecutionResultMessage)
    assert [part.content for part in result.content] == [INTERRUPTED, "ok"]


def test_a_result_without_its_call_is_left_out() -> None:
    assert mended([asked(), resulted("1"), said()]) == [asked(), said()]


any_message = st.one_of(
    st.builds(said),
    st.builds(asked),
    st.lists(st.sampled_from("123"), min_size=1, max_size=2, unique=True).map(
        lambda ids: called(*ids)
    ),
    st.lists(st.sampled_from("123"), min_size=1, max_size=2, unique=True).map(
        lambda ids: resulted(*ids)
    ),
    st.builds(lambda: SystemMessage(content="s")),
)


@given(messages=st.lists(any_message, max_size=12))
@settings(deadline=None, max_examples=100)
def test_whatever_was_stored_is_sound_after_mending_and_mending_it_again_changes_nothing(
    messages: list[LLMMessage],
) -> None:
    whole = mended(messages)
    assert sound(whole)
    assert mended(whole) == whole


views = st.one_of(
    st.integers(1, 6).map(BufferedChatCompletionContext),
    st.builds(HeadAndTailChatCompletionContext, st.integers(1, 3), st.integers(1, 4)),
    st.integers(1, 60).map(
        lambda limit: TokenLimitedChatCompletionContext(ScriptedClient(), token_limit=limit)
    ),
)


@given(messages=st.lists(any_message, max_size=12), view=views)
@settings(deadline=None, max_examples=100)
async def test_whatever_a_view_cuts_away_the_rest_is_sound_and_holds_the_newest_question(
    messages: list[LLMMessage], view: ChatCompletionContext
) -> None:
    whole = mended(messages)
    for message in whole:
        await view.add_message(message)
    shown = trimmed(whole, await view.get_messages())
    assert sound(shown)
    questions = [message for message in whole if isinstance(message, UserMessage)]
    if questions:
        assert sum(message is questions[-1] for message in shown) == 1
    uncut = [m for m in shown if any(m is other for other in whole)]
    places = [next(i for i, m in enumerate(whole) if m is other) for other in uncut]
    assert places == sorted(places)
    if len(uncut) < len(whole) and questions:
        first = next(m for m in shown if not isinstance(m, SystemMessage))
        assert isinstance(first, UserMessage)


@pytest.mark.parametrize(
    ("size", "expected"),
    [(3, "QCR"), (4, "QCRCR"), (5, "QCRCR"), (6, "QCRCRS"), (8, "QSQCRCRS")],
)
async def test_a_buffer_filled_by_tool_calls_still_shows_the_question(
    size: int, expected: str
) -> None:
    whole = [asked("0"), said(), asked("1"), called("1"), resulted("1"), called("2"), resulted("2")]
    whole = [*whole, said("end")] if expected.endswith("S") else whole
    view = BufferedChatCompletionContext(size)
    for message in whole:
        await view.add_message(message)
    letters = {UserMessage: "Q", FunctionExecutionResultMessage: "R"}
    shown = trimmed(whole, await view.get_messages())
    assert (
        "".join(letters.get(type(m)) or ("S" if isinstance(m.content, str) else "C") for m in shown)
        == expected
    )
