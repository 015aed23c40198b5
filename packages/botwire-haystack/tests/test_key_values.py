"""State by key, loaded before a run and saved after it, connected straight into a pipeline."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from haystack import Document, Pipeline
from haystack.components.builders import PromptBuilder
from haystack_scripts import ScriptedChatGenerator, assistant, awaited, texts

from botwire import Memory
from botwire.errors import InvalidValue
from haystack_integrations.components.retrievers.botwire import BotWireKeyValueReader
from haystack_integrations.components.writers.botwire import BotWireKeyValueWriter


@pytest.fixture(params=["sync", "async"])
def run(request: pytest.FixtureRequest) -> Callable[..., Any]:
    if request.param == "sync":
        return lambda thing, *args, **kwargs: thing.run(*args, **kwargs)
    return lambda thing, *args, **kwargs: awaited(thing.run_async(*args, **kwargs))


@pytest.fixture
def reader(url: str, made: Callable[..., Any]) -> Any:
    keys = {"context": "", "preferences": {}, "seen": 0}
    return made(BotWireKeyValueReader("test", keys=keys, url=url))


@pytest.fixture
def writer(url: str, made: Callable[..., Any]) -> Callable[..., Any]:
    return lambda **options: made(BotWireKeyValueWriter("test", url=url, **options))


def test_values_come_back_and_defaults_stand_for_what_is_missing(
    reader: Any, writer: Callable[..., Any], run: Callable[..., Any]
) -> None:
    assert run(reader, prefix="ada:") == {"context": "", "preferences": {}, "seen": 0}
    save = writer(keys=["context", "seen"])
    assert run(save, prefix="ada:", context="hi", seen=None) == {"keys_written": 2}
    assert run(reader, prefix="ada:") == {"context": "hi", "preferences": {}, "seen": None}
    assert run(reader, prefix="bob:")["context"] == ""


def test_other_clients_read_and_write_the_same_values(
    reader: Any, writer: Callable[..., Any], url: str
) -> None:
    memory = Memory("test", url=url)
    memory["user:ada:preferences"] = {"tone": "short"}
    assert reader.run("user:ada:")["preferences"] == {"tone": "short"}
    writer(keys=["preferences"]).run("user:ada:", preferences=["a", 1.5])
    assert memory["user:ada:preferences"] == ["a", 1.5]


def test_messages_and_documents_are_values_too(
    reader: Any, writer: Callable[..., Any], run: Callable[..., Any]
) -> None:
    value = {"replies": [assistant("hello")], "sources": [Document(content="x", meta={"p": 1})]}
    run(writer(keys=["preferences"]), preferences=value)
    assert run(reader)["preferences"] == value


def test_what_is_not_json_is_refused_and_nothing_is_written(
    reader: Any, writer: Callable[..., Any]
) -> None:
    with pytest.raises(InvalidValue, match="tuple"):
        writer(keys=["context", "seen"]).run(context="new", seen=(1, 2))
    assert reader.run()["context"] == ""


def test_text_is_added_and_the_newest_characters_stay(
    reader: Any, writer: Callable[..., Any], run: Callable[..., Any]
) -> None:
    add = writer(keys=["context"], append=True, max_chars=10)
    for text in ("hello ", "wörld", "!", "", "?"):
        run(add, prefix="ada:", context=text)
    assert run(reader, prefix="ada:")["context"] == "lo wörld!?"
    everything = writer(keys=["context"], append=True)
    run(everything, context="a" * 50)
    run(everything, context="b" * 50)
    assert run(reader)["context"] == "a" * 50 + "b" * 50


def test_concurrent_writers_lose_no_text(reader: Any, writer: Callable[..., Any]) -> None:
    add = writer(keys=["context"], append=True)
    threads = [
        threading.Thread(target=lambda: [add.run(context="x") for _ in range(25)]) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert reader.run()["context"] == "x" * 100


def test_values_end_after_inactivity(reader: Any, writer: Callable[..., Any], url: str) -> None:
    for append in (False, True):
        save = writer(keys=["context"], append=append, ttl=7 * 86400, sliding=True)
        save.run("ada:", context="hi")
        entry = Memory("test", url=url).head("ada:context")
        assert entry is not None
        assert (entry.ttl, entry.sliding) == (7 * 86400, True)


def test_mistakes_in_the_wiring_are_told_at_once(url: str) -> None:
    with pytest.raises(ValueError, match="'prefix' is an input of its own"):
        BotWireKeyValueWriter(keys=["prefix"], url=url)
    with pytest.raises(ValueError, match="needs append=True"):
        BotWireKeyValueWriter(keys=["a"], max_chars=5, url=url)
    with pytest.raises(ValueError, match="at least 1"):
        BotWireKeyValueWriter(keys=["a"], append=True, max_chars=0, url=url)


def test_they_connect_straight_into_a_pipeline(reader: Any, writer: Callable[..., Any]) -> None:
    pipe = Pipeline()
    pipe.add_component("load", reader)
    template = "{{ context }}{{ preferences.tone }}|{{ query }}"
    pipe.add_component("prompt", PromptBuilder(template))
    pipe.add_component("llm", ScriptedChatGenerator(["one", "two"]))
    pipe.add_component("turn", PromptBuilder("User: {{ query }}\nAgent: {{ replies[0].text }}\n\n"))
    pipe.add_component("save", writer(keys=["context"], append=True, max_chars=2000))
    pipe.connect("load.context", "prompt.context")
    pipe.connect("load.preferences", "prompt.preferences")
    pipe.connect("prompt.prompt", "llm.messages")
    pipe.connect("llm.replies", "turn.replies")
    pipe.connect("turn.prompt", "save.context")

    def ask(query: str) -> None:
        pipe.run({"query": query, "prefix": "ada:"})

    ask("first")
    ask("second")
    shown = [texts(messages) for messages in pipe.get_component("llm").seen]
    assert shown == [["|first"], ["User: first\nAgent: one\n|second"]]
    assert reader.run("ada:")["context"].endswith("User: second\nAgent: two\n")


def test_a_text_default_makes_a_socket_for_text(reader: Any) -> None:
    pipe = Pipeline()
    pipe.add_component("load", reader)
    pipe.add_component("llm", ScriptedChatGenerator(["x"]))
    pipe.connect("load.context", "llm.messages")
    pipe.run({"load": {"prefix": "ada:"}})
    assert texts(pipe.get_component("llm").seen[0]) == [""]
