"""Saved here, loaded elsewhere: plain data, no secrets, nothing opened, the default allow-list."""

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from haystack import Pipeline
from haystack.components.agents import Agent
from haystack.components.builders import ChatPromptBuilder, PromptBuilder
from haystack.components.generators.chat import MockChatGenerator
from haystack.core.errors import PipelineRuntimeError
from haystack.core.serialization import generate_qualified_class_name, import_class_by_name
from haystack.utils import Secret
from haystack_scripts import awaited, call, resumes, user

import botwire_haystack
from botwire.errors import Unauthorized
from botwire.testing import ServerProcess
from botwire_haystack import (
    BotWireCache,
    BotWireCacheWriter,
    BotWireChatMessageRetriever,
    BotWireChatMessageStore,
    BotWireChatMessageWriter,
    BotWireCheckpointHook,
    BotWireHistoryHook,
    BotWireKeyValueReader,
    BotWireKeyValueWriter,
    BotWireMemoryRetriever,
    BotWireMemoryStore,
    BotWireMemoryWriter,
    BotWireSnapshotStore,
    BotWireToolResultReader,
    BotWireToolResultStore,
    BotWireToolset,
    agent_hooks,
)

SCRIPT = Path(__file__).parent / "loaded_elsewhere.py"
PLACE: dict[str, Any] = {
    "namespace": "test",
    "url": "http://127.0.0.1:9",  # nobody is there
    "api_key": Secret.from_env_var("MY_KEY"),
    "timeout": 5.0,
}
LIVES: dict[str, Any] = {"ttl": 60.0, "sliding": True}


def everything() -> list[Any]:
    """One of each class, with nothing at its default."""
    store = BotWireChatMessageStore(**PLACE, **LIVES, skip_system_messages=True, last_k=3)
    memories = BotWireMemoryStore(**PLACE, **LIVES)
    results = BotWireToolResultStore(**PLACE, ttl=60.0)
    cache = BotWireCache(**PLACE, **LIVES, cache_field="url")
    return [
        store,
        memories,
        results,
        cache,
        BotWireChatMessageRetriever(store, last_k=2),
        BotWireChatMessageWriter(store),
        BotWireMemoryRetriever(memory_store=memories, top_k=2),
        BotWireMemoryWriter(memory_store=memories),
        BotWireKeyValueReader(**PLACE, keys={"a": "", "b": {"c": [1]}}),
        BotWireKeyValueWriter(**PLACE, **LIVES, keys=["a"], append=True, max_chars=9),
        BotWireCacheWriter(cache),
        BotWireSnapshotStore(**PLACE, ttl=60.0),
        BotWireHistoryHook(store, chat_history_id="c", last_k=1),
        BotWireCheckpointHook(**PLACE, run_id="r", skip_keys=["x"], ttl=60.0),
        BotWireToolset(**PLACE, **LIVES, scope=["user_id"], prefix="p/", read_only=True),
        BotWireToolResultReader(results, max_chars=9),
    ]


def named(thing: Any) -> str:
    return type(thing).__name__


def test_the_list_of_classes_is_complete() -> None:
    assert {named(thing) for thing in everything()} | {"agent_hooks"} == set(
        botwire_haystack.__all__
    )


@pytest.mark.parametrize("thing", everything(), ids=named)
def test_every_class_survives_as_plain_data(thing: Any) -> None:
    data = thing.to_dict()
    kind = import_class_by_name(data["type"])
    assert data["type"] == generate_qualified_class_name(kind)
    assert data["type"].startswith("haystack_integrations.")
    text = json.dumps(data)
    assert '"MY_KEY"' in text
    again = kind.from_dict(json.loads(text))  # type: ignore[attr-defined]
    assert type(again) is kind
    assert again.to_dict() == data == json.loads(text)


@pytest.mark.parametrize("thing", everything(), ids=named)
def test_nothing_is_opened_or_resolved_before_warm_up(
    thing: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not by making, saving, loading or closing; the strict secret is missing at warm-up."""

    awaited(asyncio.sleep(0))  # the loop of the tests needs sockets itself

    def opened(*args: Any) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", opened)
    monkeypatch.delenv("MY_KEY", raising=False)
    again = type(thing).from_dict(json.loads(json.dumps(thing.to_dict())))
    again.close()
    awaited(again.close_async())
    with pytest.raises(ValueError, match="MY_KEY"):
        again.warm_up()
    monkeypatch.setenv("MY_KEY", "secret")
    again.warm_up()
    again.warm_up()
    assert "secret" not in json.dumps(again.to_dict())
    again.close()
    again.close()


def test_an_embedded_memory_is_not_made_before_it_is_used(tmp_path: Path) -> None:
    store = BotWireChatMessageStore(url=f"sqlite:///{tmp_path}/memory.db")
    store.warm_up()
    assert list(tmp_path.iterdir()) == []
    store.write_messages("c", [user("hi")])
    assert (tmp_path / "memory.db").exists()
    store.close()
    assert store.count_messages("c") == 1  # closed things come back when they are used
    store.close()


def test_a_key_or_password_that_would_be_saved_is_refused() -> None:
    token = BotWireChatMessageStore(api_key=Secret.from_token("secret"))
    with pytest.raises(ValueError, match="Cannot serialize token-based secret"):
        token.to_dict()
    for url in ("https://me:secret@example.com", "postgresql://host/db?password=secret"):
        password = BotWireChatMessageStore(url=url)
        with pytest.raises(ValueError, match="this URL holds a password") as refused:
            password.to_dict()
        assert "secret" not in str(refused.value)


def test_without_a_url_the_environment_says_where_at_warm_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = BotWireChatMessageStore()
    monkeypatch.setenv("BOTWIRE_URL", f"sqlite:///{tmp_path}/other.db")
    store.write_messages("c", [user("hi")])
    store.close()
    assert (tmp_path / "other.db").exists()
    assert store.to_dict()["init_parameters"]["url"] is None


def test_the_key_is_what_the_server_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = tmp_path / "keys.json"
    made = subprocess.run(
        [sys.executable, "-m", "botwire.cli", "keys", "create", "--json", "--api-keys", str(keys)],
        capture_output=True,
        text=True,
        check=True,
    )
    monkeypatch.setenv("MY_KEY", json.loads(made.stdout)["key"])
    with ServerProcess(f"sqlite:///{tmp_path}/server.db", api_keys=keys) as server:
        allowed = Secret.from_env_var("MY_KEY")
        store = BotWireChatMessageStore(url=server.url, api_key=allowed)
        assert store.write_messages("c", [user("hi")]) == 1
        store.close()
        for missing in (None, Secret.from_env_var("NO_SUCH_KEY", strict=False)):
            stranger = BotWireChatMessageStore(url=server.url, api_key=missing)
            with pytest.raises(Unauthorized):
                stranger.count_messages("c")
            stranger.close()


# -- a fresh interpreter -----------------------------------------------------------------------


@pytest.fixture
def elsewhere(tmp_path: Path) -> Callable[..., Any]:
    """Runs a pipeline from its YAML in a new process, with the default allow-list."""

    def run(pipeline: Pipeline, data: Any) -> Any:
        file = tmp_path / "pipeline.yaml"
        file.write_text(pipeline.dumps())
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("HAYSTACK_") and name != "PYTHONPATH"
        }
        done = subprocess.run(
            [sys.executable, "-W", "error::ResourceWarning", str(SCRIPT), file, json.dumps(data)],
            env=environment | {"HAYSTACK_TELEMETRY_ENABLED": "False", "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(done.stdout)

    return run


def chat(url: str) -> Pipeline:
    """History, memories and state in one pipeline."""
    store = BotWireChatMessageStore("test", url=url)
    memories = BotWireMemoryStore("test", url=url)
    pipe = Pipeline()
    pipe.add_component("state", BotWireKeyValueReader("test", url=url, keys={"mood": "kind"}))
    pipe.add_component("facts", BotWireMemoryRetriever(memory_store=memories))
    template = [user("{{ mood }} {% for f in facts %}{{ f.text }} {% endfor %}{{ query }}")]
    pipe.add_component("prompt", ChatPromptBuilder(template=template))
    pipe.add_component("history", BotWireChatMessageRetriever(store))
    pipe.add_component("llm", MockChatGenerator(responses=["I see"]))
    pipe.add_component("writer", BotWireChatMessageWriter(store))
    pipe.add_component("learn", BotWireMemoryWriter(memory_store=memories))
    pipe.add_component("mood", PromptBuilder("{{ replies[0].text }}!"))
    pipe.add_component("save", BotWireKeyValueWriter("test", url=url, keys=["mood"]))
    for sender, receiver in [
        ("state.mood", "prompt.mood"),
        ("facts.memories", "prompt.facts"),
        ("prompt.prompt", "history.current_messages"),
        ("history.messages", "llm.messages"),
        ("prompt.prompt", "writer.messages"),
        ("llm.replies", "writer.messages"),
        ("prompt.prompt", "learn.messages"),
        ("llm.replies", "mood.replies"),
        ("mood.prompt", "save.mood"),
    ]:
        pipe.connect(sender, receiver)
    return pipe


def test_a_pipeline_goes_on_in_a_fresh_interpreter(url: str, elsewhere: Callable[..., Any]) -> None:
    data = {
        "state": {"prefix": "ada:"},
        "facts": {"user_id": "ada", "query": "tea"},
        "history": {"chat_history_id": "c"},
        "writer": {"chat_history_id": "c"},
        "learn": {"user_id": "ada"},
        "save": {"prefix": "ada:"},
        "prompt": {"query": "I like tea"},
    }
    pipe = chat(url)
    pipe.run(data)
    out = elsewhere(pipe, data | {"prompt": {"query": "More tea"}})
    asked = "I see! kind I like tea More tea"
    assert out["history"]["messages"] == ["kind I like tea", "I see", asked]
    assert out["writer"] == {"messages_written": 2}
    pipe.close()


@resumes
def test_an_agent_with_hooks_and_tools_goes_on_in_a_fresh_interpreter(
    url: str, elsewhere: Callable[..., Any]
) -> None:
    store = BotWireChatMessageStore("test", url=url)
    hooks = agent_hooks(
        history=BotWireHistoryHook(store), checkpoint=BotWireCheckpointHook("test", url=url)
    )
    replies = [call("memory_set", key="drink", value="tea"), "noted"]
    agent = Agent(
        chat_generator=MockChatGenerator(responses=replies),
        tools=BotWireToolset("test", url=url, scope=["user_id"]),
        state_schema={"user_id": {"type": str}},
        hooks=hooks,
    )
    pipe = Pipeline()
    pipe.add_component("agent", agent)

    def data(run_id: str) -> dict[str, Any]:
        context = {"chat_history_id": "c", "run_id": run_id}
        return {"messages": [{"user": "I drink tea"}], "user_id": "ada", "hook_context": context}

    out = elsewhere(pipe, {"agent": data("one")})["agent"]
    assert out["last_message"] == "noted"
    assert out["tool_call_counts"]["memory_set"] == 1
    again = elsewhere(pipe, {"agent": data("two")})["agent"]
    assert len(again["messages"]) == 8
    finished = data("two") | {"messages": [user("I drink tea")]}
    repeated = Pipeline.loads(pipe.dumps()).run({"agent": finished})["agent"]
    assert len(repeated["messages"]) == 8
    assert store.count_messages("c") == 8
    assert store.memory["ada/drink"] == "tea"
    store.close()


def test_a_server_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = Pipeline()
    reader = BotWireKeyValueReader(url="http://127.0.0.1:9", keys=["a"], timeout=0.3)
    pipe.add_component("state", reader)
    with pytest.raises(PipelineRuntimeError, match=r"http://127.0.0.1:9 did not answer"):
        pipe.run({"state": {}})
