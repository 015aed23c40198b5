"""Windows of a conversation: whole rounds, whole tool calls, user-only turns counted."""

from haystack.dataclasses import ChatMessage, ChatRole
from haystack_scripts import answering, assistant, calling, system, user
from hypothesis import given, settings
from hypothesis import strategies as st

from haystack_integrations.chat_message_stores.botwire.rounds import last_rounds, reaches_back


def test_a_round_holds_the_question_the_tools_and_the_answer() -> None:
    first = [user("1"), calling("a"), answering("a"), assistant("1")]
    second = [user("2"), calling("b"), answering("b"), calling("c"), answering("c")]
    assert last_rounds(first + second, 1) == second
    assert last_rounds(first + second, 2) == first + second


def test_questions_without_an_answer_are_rounds_of_their_own() -> None:
    spoken = [user("1"), user("2"), user("3"), assistant("3")]
    assert last_rounds(spoken, 1) == spoken[2:]
    assert last_rounds(spoken, 2) == spoken[1:]


def test_what_stands_before_the_first_question_is_a_round() -> None:
    spoken = [assistant("Welcome!"), user("1"), assistant("1")]
    assert last_rounds(spoken, 1) == spoken[1:]
    assert last_rounds(spoken, 2) == spoken


def test_instructions_right_before_a_question_belong_to_it() -> None:
    spoken = [user("1"), assistant("1"), system("be brief"), user("2"), assistant("2")]
    assert last_rounds(spoken, 1) == spoken[2:]


def test_a_call_that_another_writers_round_separates_from_its_result_is_not_lost() -> None:
    mixed = [user("0"), user("1"), calling("a"), user("2"), answering("a"), assistant("1")]
    assert last_rounds(mixed, 1) == mixed[1:]


def test_calls_without_ids_are_told_apart_by_what_they_ask() -> None:
    def unnamed(message: ChatMessage) -> ChatMessage:
        data = message.to_dict()
        for part in data["content"]:
            call = part.get("tool_call") or part["tool_call_result"]["origin"]
            call["id"] = None
        return ChatMessage.from_dict(data)

    mixed = [user("1"), unnamed(calling("a")), user("2"), unnamed(answering("a"))]
    assert last_rounds(mixed, 1) == mixed


def test_a_result_whose_call_was_never_stored_does_not_pull_in_everything() -> None:
    spoken = [user("1"), assistant("1"), user("2"), answering("lost")]
    assert last_rounds(spoken, 1) == spoken[2:]


messages = st.sampled_from(
    [user("u"), assistant("a"), system("s")]
    + [make(id_) for id_ in "xyz" for make in (calling, answering)]
)
conversations = st.lists(messages, max_size=30)


@settings(max_examples=100, deadline=None)
@given(conversations, st.integers(1, 12))
def test_a_window_is_an_end_of_the_conversation_and_no_result_in_it_lacks_its_call(
    spoken: list[ChatMessage], last_k: int
) -> None:
    window = last_rounds(spoken, last_k)
    assert spoken[len(spoken) - len(window) :] == window
    assert last_rounds(spoken, 0) == []
    questions = sum(message.is_from(ChatRole.USER) for message in window)
    asked = sum(message.is_from(ChatRole.USER) for message in spoken)
    assert questions >= min(last_k, asked)
    made = {call.id for message in window for call in message.tool_calls}
    before = spoken[: len(spoken) - len(window)]
    lacking = {r.origin.id for m in window for r in m.tool_call_results} - made
    assert not lacking & {call.id for message in before for call in message.tool_calls}


@settings(max_examples=100, deadline=None)
@given(conversations, st.integers(1, 6), st.integers(1, 30))
def test_an_end_that_does_not_reach_back_has_the_same_window_as_the_whole(
    spoken: list[ChatMessage], last_k: int, count: int
) -> None:
    end = spoken[-count:]
    if not reaches_back(end, last_k):
        assert last_rounds(end, last_k) == last_rounds(spoken, last_k)
