"""Every component survives dump -> JSON -> load in a new process, and no secret is in the JSON."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from autogen_agentchat.agents import AssistantAgent
from autogen_core import CacheStore, ComponentLoader
from autogen_core.memory import Memory, MemoryContent
from autogen_core.model_context import (
    BufferedChatCompletionContext,
    ChatCompletionContext,
    HeadAndTailChatCompletionContext,
)
from autogen_core.models import AssistantMessage, SystemMessage, UserMessage
from autogen_core.tools import BaseTool, Workbench
from autogen_ext.models.replay import ReplayChatCompletionClient

import botwire_autogen
from botwire_autogen import (
    BotWireCacheStore,
    BotWireChatCompletionContext,
    BotWireMemory,
    BotWireWorkbench,
    RecallTool,
    memory_tools,
)

SECRET = "bw_s3cret"
PLACE: dict[str, Any] = {
    "url": "https://example.com/memory",
    "api_key": SECRET,
    "api_key_env": "ADAS_KEY",
    "timeout": 7.0,
}
COMPONENTS: dict[str, tuple[type[Any], Callable[[], Any]]] = {
    "memory": (
        Memory,
        lambda: BotWireMemory(
            "ada",
            prefix="facts/",
            limit=5,
            match="words",
            where={"topic": "food"},
            ttl=60.5,
            sliding=True,
            placement="tail",
            role="user",
            on_error="skip",
            **PLACE,
        ),
    ),
    "context": (
        ChatCompletionContext,
        lambda: BotWireChatCompletionContext(
            "ada",
            "chat-7",
            view=HeadAndTailChatCompletionContext(2, 3),
            initial_messages=[
                SystemMessage(content="Be kind."),
                UserMessage(content="hi", source="user"),
                AssistantMessage(content="hello", source="bot"),
            ],
            ttl=60,
            sliding=True,
            **PLACE,
        ),
    ),
    "cache": (
        CacheStore,
        lambda: BotWireCacheStore("ada", model="m", ttl=9, on_error="raise", **PLACE),
    ),
    "workbench": (
        Workbench,
        lambda: BotWireWorkbench("ada", prefix="p/", ttl=9, strict=True, **PLACE),
    ),
    **{
        tool.name: (BaseTool, lambda place=place: memory_tools("ada", ttl=9, **PLACE)[place])
        for place, tool in enumerate(memory_tools("ada"))
    },
}


@pytest.mark.parametrize("name", COMPONENTS)
def test_a_component_is_rebuilt_from_its_configuration(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ADAS_KEY", SECRET)
    kind, make = COMPONENTS[name]
    component = make()
    text = json.dumps(component.dump_component().model_dump())
    assert SECRET not in text
    assert SECRET not in component.dump_component().model_dump_json()
    assert '"ADAS_KEY"' in text
    loaded = kind.load_component(json.loads(text))
    assert type(loaded) is type(component)
    assert json.dumps(loaded.dump_component().model_dump()) == text


@pytest.mark.parametrize("name", COMPONENTS)
def test_providers_are_the_public_names_that_an_allow_list_can_name(name: str) -> None:
    """Later versions of autogen load only from modules named in an environment variable,
    AUTOGEN_ALLOWED_PROVIDER_NAMESPACES=botwire_autogen."""
    provider = COMPONENTS[name][1]().dump_component().provider
    module, _, attribute = provider.rpartition(".")
    assert module == "botwire_autogen"
    assert attribute in botwire_autogen.__all__


def test_the_key_comes_from_the_environment_variable_that_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("BOTWIRE_API_KEY", "of somebody else")
    monkeypatch.setenv("ADAS_KEY", SECRET)
    dumped = BotWireMemory("ada", **PLACE).dump_component()
    loaded = BotWireMemory.load_component(dumped)
    assert loaded._memory._api_key == SECRET


def test_the_key_of_another_server_is_never_sent_instead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOTWIRE_API_KEY", "of somebody else")
    dumped = BotWireMemory("ada", **PLACE).dump_component()
    with pytest.raises(ValueError, match="ADAS_KEY is not set"):
        BotWireMemory.load_component(dumped)
    BotWireMemory("ada", api_key_env="ADAS_KEY", url="memory://")  # which needs no key


@pytest.mark.parametrize(
    "url", [f"https://me:{SECRET}@example.com", f"postgresql://host/db?password={SECRET}"]
)
@pytest.mark.parametrize("name", COMPONENTS)
def test_a_url_with_a_password_is_never_dumped(
    name: str, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PLACE, "url", url)
    component = COMPONENTS[name][1]()
    with pytest.raises(ValueError, match="BOTWIRE_URL") as refused:
        component.dump_component()
    assert SECRET not in str(refused.value)


def test_a_loaded_context_begins_with_messages_and_not_with_dicts(url: str) -> None:
    context = BotWireChatCompletionContext(
        "ada", initial_messages=[SystemMessage(content="Be kind.")], url=url
    )
    loaded = ComponentLoader.load_component(
        context.dump_component(), expected=BotWireChatCompletionContext
    )
    assert loaded._initial_messages == [SystemMessage(content="Be kind.")]


def test_a_configuration_with_an_unknown_option_value_is_refused() -> None:
    dumped = BotWireMemory("ada").dump_component()
    dumped.config["match"] = "vectors"
    with pytest.raises(ValueError, match="match"):
        Memory.load_component(dumped)


LOADING = """
import asyncio, json, sys
from autogen_agentchat.agents import AssistantAgent

agent = AssistantAgent.load_component(json.loads(sys.stdin.read()))
result = asyncio.run(agent.run(task="What do I drink?"))
print([type(message).__name__ for message in result.messages])
print(result.messages[1].content[0].content)
print(len(asyncio.run(agent.model_context.get_messages())))
"""


def test_an_agent_with_memory_context_and_workbench_is_loaded_in_a_new_process(
    url: str,
) -> None:
    memory = BotWireMemory("ada", url=url)
    asyncio.run(memory.add(MemoryContent(content="likes tea", mime_type="text/plain")))
    agent = AssistantAgent(
        "bot",
        ReplayChatCompletionClient(["tea"], model_info=botwire_model()),
        memory=[memory],
        workbench=BotWireWorkbench("ada", url=url),
        model_context=BotWireChatCompletionContext(
            "ada", view=BufferedChatCompletionContext(10), url=url
        ),
    )
    asyncio.run(agent.model_context.add_message(UserMessage(content="hi", source="user")))
    dumped = agent.dump_component().model_dump_json()
    loading = [sys.executable, "-c", LOADING]
    shown = subprocess.run(loading, input=dumped, text=True, capture_output=True, check=True)
    assert shown.stdout.splitlines() == [
        "['TextMessage', 'MemoryQueryEvent', 'TextMessage']",
        "likes tea",
        "4",  # the block, what was said before, the question and the answer
    ]


def botwire_model() -> Any:
    return {
        "vision": False,
        "function_calling": True,
        "json_output": True,
        "family": "unknown",
        "structured_output": True,
    }


def test_importing_the_package_imports_no_framework() -> None:
    importing = "import botwire_autogen, botwire_autogen.ag2.knowledge, botwire_autogen.ag2.lock"
    shown = subprocess.run(
        [sys.executable, "-c", f"{importing}, sys; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(shown.stdout.split())
    assert not loaded & {"autogen_core", "ag2", "autogen", "pydantic"}
    assert set(botwire_autogen.__all__) <= set(dir(botwire_autogen))
    assert all(hasattr(botwire_autogen, name) for name in botwire_autogen.__all__)
    assert RecallTool is botwire_autogen.RecallTool
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = botwire_autogen.Nothing


@pytest.mark.parametrize(("module", "extra"), [("ag2", "ag2"), ("autogen", "classic")])
def test_a_missing_framework_is_named_with_the_extra_that_brings_it(
    module: str, extra: str
) -> None:
    importing = f"import sys; sys.modules[{module!r}] = None; import botwire_autogen.{extra}"
    shown = subprocess.run([sys.executable, "-c", importing], capture_output=True, text=True)
    assert f"pip install 'botwire-autogen[{extra}]'" in shown.stderr
