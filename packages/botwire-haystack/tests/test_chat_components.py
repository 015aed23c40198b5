"""The retriever and the writer, in real pipelines."""

from collections.abc import Callable
from typing import Any

import pytest
from haystack import Pipeline
from haystack.components.builders import ChatPromptBuilder
from haystack_scripts import ScriptedChatGenerator, assistant, awaited, system, texts, user

from haystack_integrations.chat_message_stores.botwire import BotWireChatMessageStore
from haystack_integrations.components.retrievers.botwire import BotWireChatMessageRetriever
from haystack_integrations.components.writers.botwire import BotWireChatMessageWriter


def chat(store: BotWireChatMessageStore, *script: Any, last_k: int | None = None) -> Pipeline:
    """A pipeline that remembers: the prompt and the replies go to the writer as they are."""
    pipe = Pipeline()
    template = [system("You are {{ mood }}."), user("{{ question }}")]
    pipe.add_component("prompt", ChatPromptBuilder(template=template))
    pipe.add_component("history", BotWireChatMessageRetriever(store, last_k))
    pipe.add_component("llm", ScriptedChatGenerator(list(script)))
    pipe.add_component("writer", BotWireChatMessageWriter(store))
    pipe.connect("prompt.prompt", "history.current_messages")
    pipe.connect("history.messages", "llm.messages")
    pipe.connect("prompt.prompt", "writer.messages")
    pipe.connect("llm.replies", "writer.messages")
    return pipe


def asking(question: str, mood: str = "kind", history: str = "c") -> dict[str, Any]:
    return {
        "prompt": {"question": question, "mood": mood},
        "history": {"chat_history_id": history},
        "writer": {"chat_history_id": history},
    }


@pytest.fixture(params=["sync", "async"])
def run(request: pytest.FixtureRequest) -> Callable[..., Any]:
    if request.param == "sync":
        return lambda pipe, data: pipe.run(data)
    return lambda pipe, data: awaited(pipe.run_async(data))


def test_a_pipeline_remembers_over_processes(
    store: BotWireChatMessageStore, url: str, made: Callable[..., Any], run: Callable[..., Any]
) -> None:
    assert run(chat(store, "Hello Ada"), asking("I am Ada"))["writer"] == {"messages_written": 3}
    again = made(BotWireChatMessageStore("test", url=url))
    pipe = chat(again, "You are Ada")
    run(pipe, asking("Who am I?", mood="brief"))
    shown = pipe.get_component("llm").seen[0]
    assert texts(shown) == ["You are brief.", "I am Ada", "Hello Ada", "Who am I?"]
    assert texts(store.retrieve_messages("c"))[-2:] == ["Who am I?", "You are Ada"]


def test_current_instructions_stand_for_those_of_the_history(
    store: BotWireChatMessageStore,
) -> None:
    store.write_messages("c", [system("old"), user("1"), assistant("1")])
    retriever = BotWireChatMessageRetriever(store)
    current = [user("2"), system("new")]
    out = retriever.run("c", current_messages=current)["messages"]
    assert texts(out) == ["new", "1", "1", "2"]
    assert texts(retriever.run("c", current_messages=[user("2")])["messages"])[0] == "old"


def test_the_window_comes_from_the_call_the_component_or_the_store(
    store: BotWireChatMessageStore,
) -> None:
    store.write_messages("c", [user("1"), user("2"), user("3")])
    retriever = BotWireChatMessageRetriever(store, last_k=1)
    assert texts(retriever.run("c")["messages"]) == ["3"]
    assert texts(retriever.run("c", last_k=2)["messages"]) == ["2", "3"]
    assert retriever.run("c", last_k=0) == {"messages": []}
    assert BotWireChatMessageRetriever(store, last_k=0).run("c") == {"messages": []}
    assert len(BotWireChatMessageRetriever(store).run("c")["messages"]) == 3
    with pytest.raises(ValueError, match="last_k"):
        BotWireChatMessageRetriever(store, last_k=-1)


def test_without_a_history_the_current_messages_pass(store: BotWireChatMessageStore) -> None:
    retriever = BotWireChatMessageRetriever(store)
    assert texts(retriever.run(None, current_messages=[user("hi")])["messages"]) == ["hi"]
    assert retriever.run("nobody")["messages"] == []


def test_the_writer_takes_history_and_news_together(store: BotWireChatMessageStore) -> None:
    """As the messages of an Agent's result are, with what was retrieved in front."""
    store.write_messages("c", [user("1"), assistant("1")])
    everything = [*store.retrieve_messages("c"), user("2"), assistant("2")]
    assert BotWireChatMessageWriter(store).run("c", everything) == {"messages_written": 2}
    assert store.count_messages("c") == 4
