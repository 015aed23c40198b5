"""A chat of AG2 Classic outlives its process, wherever that broke off."""

from typing import Any

import pytest
from autogen import ConversableAgent, register_function
from autogen.testing import TestAgent, ToolCall, tools_message

from botwire import Conflict, Memory
from botwire_autogen.classic import INTERRUPTED, persistent_chat


def pair() -> tuple[ConversableAgent, ConversableAgent]:
    """An assistant and a user who runs its tools."""
    return (
        ConversableAgent("assistant", human_input_mode="NEVER", llm_config=False),
        ConversableAgent("user", human_input_mode="NEVER", llm_config=False),
    )


@pytest.fixture
def memory(url: str) -> Memory:
    return Memory("ada", url=url)


def chat(
    assistant: ConversableAgent, user: ConversableAgent, message: str, *answers: Any, turns: int = 1
) -> list[dict[str, Any]]:
    """What the assistant's model sees at the end."""
    with TestAgent(assistant, answers):
        user.initiate_chat(
            assistant, message=message, max_turns=turns, clear_history=False, silent=True
        )
    return assistant.chat_messages[user]


def contents(messages: list[dict[str, Any]]) -> list[Any]:
    return [message["content"] for message in messages]


def test_an_agent_in_a_new_process_knows_the_chat_and_its_variables(memory: Memory) -> None:
    assistant, user = pair()
    assert persistent_chat(assistant, user, memory) == 0
    assistant.context_variables.set("visits", 1)
    chat(assistant, user, "I drink tea.", "Noted.")
    assistant, user = pair()
    assert persistent_chat(assistant, user, memory) == 2
    assert assistant.context_variables.get("visits") == 1
    assert contents(chat(assistant, user, "What do I drink?", "Tea.")) == [
        *("I drink tea.", "Noted.", "What do I drink?", "Tea.")
    ]
    assistant, user = pair()
    assert persistent_chat(assistant, user, memory) == 4


def test_each_message_is_stored_once_as_the_agent_holds_it(memory: Memory) -> None:
    assistant, user = pair()
    persistent_chat(assistant, user, memory)
    chat(assistant, user, "one", "two", "four", turns=1)
    chat(assistant, user, "three", "four")
    assert memory.get("chat/messages") == assistant.chat_messages[user]


def test_chats_are_kept_apart_by_their_key_and_forgotten_after_their_ttl(memory: Memory) -> None:
    assistant, user = pair()
    persistent_chat(assistant, user, memory, "monday", ttl=60)
    assistant.context_variables.set("day", ("mon", 1))
    chat(assistant, user, "one", "two")
    assert all(0 < (memory.ttl(key) or 0) <= 60 for key in memory.list_keys("monday/"))
    again, user = pair()
    assert persistent_chat(again, user, memory, "monday") == 2
    assert again.context_variables.get("day") == ("mon", 1)
    assert persistent_chat(*pair(), memory, "tuesday") == 0


def test_what_was_received_is_stored_before_the_model_sees_it(memory: Memory) -> None:
    assistant, user = pair()
    persistent_chat(assistant, user, memory)
    failing = (str(1 // broken) for broken in [0])
    with TestAgent(assistant, failing), pytest.raises(ZeroDivisionError):
        user.initiate_chat(assistant, message="one", max_turns=1, silent=True)
    assert contents(memory.get("chat/messages")) == ["one"]


def ping(host: str) -> str:
    """Ping a host."""
    if host == "fire":
        raise KeyboardInterrupt  # as Ctrl-C would: nothing after it runs
    return f"pong from {host}"


def with_tools() -> tuple[ConversableAgent, ConversableAgent]:
    assistant, user = pair()
    assistant.llm_config = {"config_list": [{"model": "none", "api_key": "none"}]}
    register_function(ping, caller=assistant, executor=user, name="ping", description="ping")
    return assistant, user


def test_a_tool_call_that_broke_off_has_a_response_that_says_so(memory: Memory) -> None:
    assistant, user = with_tools()
    persistent_chat(assistant, user, memory)
    calling = tools_message(ToolCall("ping", host="fire"))
    with pytest.raises(KeyboardInterrupt):
        chat(assistant, user, "Ping the fire.", calling, "done", turns=2)
    assistant, user = with_tools()
    assert persistent_chat(assistant, user, memory) == 3
    messages = chat(assistant, user, "And?", "I do not know.")
    assert [bool(message.get("tool_calls")) for message in messages].index(True) == 1
    assert messages[2]["tool_responses"][0]["content"] == INTERRUPTED
    assert messages[2]["tool_responses"][0]["tool_call_id"] == messages[1]["tool_calls"][0]["id"]
    assistant, user = with_tools()
    assert persistent_chat(assistant, user, memory) == 5


def test_tool_calls_that_were_answered_come_back_as_they_were(memory: Memory) -> None:
    assistant, user = with_tools()
    persistent_chat(assistant, user, memory)
    calling = tools_message(ToolCall("ping", host="a"))
    messages = chat(assistant, user, "Ping a.", calling, "It pongs.", turns=2)
    assert "pong from a" in contents(messages)[2]
    again, partner = with_tools()
    persistent_chat(again, partner, memory)
    assert again.chat_messages[partner] == messages


def test_a_cleared_chat_is_cleared_in_the_store_too(memory: Memory) -> None:
    assistant, user = pair()
    persistent_chat(assistant, user, memory)
    chat(assistant, user, "one", "two")
    assistant.clear_history()
    chat(assistant, user, "new one", "new two")
    assert contents(memory.get("chat/messages")) == ["new one", "new two"]


def test_two_processes_with_one_chat_notice_each_other(memory: Memory) -> None:
    (one, user), (two, partner) = pair(), pair()
    persistent_chat(one, user, memory)
    persistent_chat(two, partner, memory)
    chat(one, user, "a", "b")
    with pytest.raises(Conflict):
        chat(two, partner, "c", "d")
