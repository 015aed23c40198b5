"""The chat history inside what LangChain users have: runnables, memories, models."""

import asyncio
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from langchain_core.chat_history import BaseChatMessageHistory
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.history import RunnableWithMessageHistory

from botwire import BotWireChatHistory

pytestmark = pytest.mark.filterwarnings("ignore:.*RunnableWithMessageHistory.*")
CONFIG: RunnableConfig = {"configurable": {"session_id": "alice"}}


def model(*answers: str) -> GenericFakeChatModel:
    return GenericFakeChatModel(messages=iter([AIMessage(answer) for answer in answers]))


@pytest.fixture
def sessions(url: str) -> Callable[[str], BaseChatMessageHistory]:
    return lambda session_id: BotWireChatHistory(session_id, url=url)


def with_list_input(chat: Any, sessions: Any) -> Runnable[Any, BaseMessage]:
    return RunnableWithMessageHistory(chat, sessions)


def with_dict_input(chat: Any, sessions: Any) -> Runnable[Any, BaseMessage]:
    prompt = ChatPromptTemplate.from_messages(
        [("system", "Be brief."), MessagesPlaceholder("history"), ("human", "{question}")]
    )
    return RunnableWithMessageHistory(
        prompt | chat, sessions, input_messages_key="question", history_messages_key="history"
    )


@pytest.fixture(params=["list", "dict"])
def form(request: pytest.FixtureRequest) -> tuple[Any, Callable[[str], Any]]:
    if request.param == "list":
        return with_list_input, lambda text: [HumanMessage(text)]
    return with_dict_input, lambda text: {"question": text}


@pytest.fixture(params=["invoke", "stream", "ainvoke"])
def run(request: pytest.FixtureRequest) -> Iterator[Callable[[Any, Any], None]]:
    with asyncio.Runner() as runner:
        if request.param == "ainvoke":
            yield lambda chain, value: runner.run(chain.ainvoke(value, CONFIG))
        else:
            yield lambda chain, value: list(getattr(chain, request.param)(value, CONFIG))


def test_a_chain_with_history_remembers_every_turn(
    form: tuple[Any, Callable[[str], Any]],
    run: Callable[[Any, Any], None],
    sessions: Callable[[str], BaseChatMessageHistory],
) -> None:
    build, ask = form
    chain = build(model("hello", "Alice", "bye"), sessions)
    for text in ("I am Alice.", "Who am I?", "Bye."):
        run(chain, ask(text))
    contents = [message.content for message in sessions("alice").messages]
    assert contents == ["I am Alice.", "hello", "Who am I?", "Alice", "Bye.", "bye"]
    assert sessions("al").messages == []


def test_a_turn_costs_two_round_trips(
    sessions: Callable[[str], BaseChatMessageHistory], round_trips: list[str]
) -> None:
    chain = with_dict_input(model("hello", "again"), sessions)
    chain.invoke({"question": "hi"}, CONFIG)
    assert round_trips == ["get", "append"]
    asyncio.run(chain.ainvoke({"question": "hi"}, CONFIG))
    assert round_trips == ["get", "append"] * 2


def test_conversation_buffer_memory_keeps_its_messages_here(
    sessions: Callable[[str], BaseChatMessageHistory], round_trips: list[str]
) -> None:
    from langchain_classic.memory import ConversationBufferMemory

    def buffer() -> ConversationBufferMemory:
        with warnings.catch_warnings(action="ignore"):  # LangChain deprecates it; users have it
            return ConversationBufferMemory(chat_memory=sessions("alice"), return_messages=True)

    memory = buffer()
    memory.save_context({"input": "I am Alice."}, {"output": "Hello!"})
    assert round_trips == ["append"]
    asyncio.run(memory.asave_context({"input": "Who am I?"}, {"output": "Alice."}))

    again = buffer()
    loaded = again.load_memory_variables({})["history"]
    assert [message.content for message in loaded] == [
        "I am Alice.",
        "Hello!",
        "Who am I?",
        "Alice.",
    ]
    again.clear()
    assert memory.load_memory_variables({}) == {"history": []}


def test_a_model_takes_the_messages_as_they_are(
    sessions: Callable[[str], BaseChatMessageHistory],
) -> None:
    history = sessions("alice")
    history.add_user_message("I am Alice.")
    history.add_ai_message(model("Hello!").invoke(history.messages))
    assert [message.type for message in history.messages] == ["human", "ai"]


def test_real_conversations_come_back(
    sessions: Callable[[str], BaseChatMessageHistory], dialogues: list[dict[str, Any]]
) -> None:
    kinds = {"user": HumanMessage, "system": AIMessage}
    for dialogue in dialogues[:30]:
        messages = [kinds[turn["speaker"]](turn["text"]) for turn in dialogue["turns"]]
        for message in messages:
            sessions(dialogue["id"]).add_message(message)
        assert sessions(dialogue["id"]).messages == messages
