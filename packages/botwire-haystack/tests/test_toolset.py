"""The model's own memory: whose it is comes from State, and no model can change that."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from haystack.components.agents import Agent
from haystack.components.agents.state import State
from haystack.tools.errors import ToolInvocationError
from haystack_scripts import ScriptedChatGenerator, awaited, call, user

from botwire import Memory
from haystack_integrations.tools.botwire import BotWireToolset

SCHEMA = {"user_id": {"type": str}}


@pytest.fixture
def toolset(url: str) -> Iterator[BotWireToolset]:
    made = BotWireToolset("test", url=url, scope=["user_id"])
    yield made
    made.close()


@pytest.fixture(params=["sync", "async"])
def use(request: pytest.FixtureRequest, toolset: BotWireToolset) -> Callable[..., Any]:
    """Calls a tool of the toolset for one user."""

    def invoke(name: str, user_id: Any = "ada", **arguments: Any) -> Any:
        (tool,) = (tool for tool in toolset if tool.name == f"memory_{name}")
        state = State(SCHEMA, {"user_id": user_id})
        if request.param == "sync":
            return tool.invoke(state=state, **arguments)
        return awaited(tool.invoke_async(state=state, **arguments))

    return invoke


def test_a_model_remembers_over_runs_and_sees_no_ids(url: str, toolset: BotWireToolset) -> None:
    def agent(*script: Any) -> tuple[Agent, ScriptedChatGenerator]:
        llm = ScriptedChatGenerator(list(script))
        return Agent(chat_generator=llm, tools=toolset, state_schema=SCHEMA), llm

    first, _ = agent(call("memory_set", key="drink", value="tea"), "noted")
    first.run([user("I drink tea")], user_id="ada")

    def answer(seen: list[Any]) -> str:
        return seen[-1].tool_call_results[0].result

    for who, known in (("ada", '{"value": "tea", "version": '), ("bob", '"version": 0')):
        second, llm = agent(call("memory_get", key="drink"), answer)
        out = awaited(second.run_async([user("What do I drink?")], user_id=who))
        assert known in out["last_message"].text
    assert llm.tools_seen[0] == [tool.name for tool in toolset]
    for tool in toolset:
        assert "user_id" not in str(tool.tool_spec)
        assert "state" not in tool.parameters["properties"]
    assert Memory("test", url=url)["ada/drink"] == "tea"


def test_a_model_that_names_another_user_gets_no_further(url: str, toolset: BotWireToolset) -> None:
    """A model's arguments win over `inputs_from_state`, so these tools do not use it."""
    Memory("test", url=url)["bob/secret"] = "1234"
    tricks: list[dict[str, Any]] = [
        {"key": "secret", "user_id": "bob"},
        {"key": "secret", "state": {"user_id": "bob"}},
        {"key": "../bob/secret"},
        {"key": "secret", "scope": "bob/"},
    ]
    for trick in tricks:
        llm = ScriptedChatGenerator([call("memory_get", **trick), "x"])
        bot = Agent(chat_generator=llm, tools=toolset, state_schema=SCHEMA)
        out = bot.run([user("hi")], user_id="ada")
        assert "1234" not in str(out["messages"]), trick


def test_entries_are_read_written_listed_and_deleted(use: Callable[..., Any]) -> None:
    assert use("get", key="a") == {"value": None, "version": 0}
    version = use("set", key="a", value="1")["version"]
    assert use("get", key="a") == {"value": "1", "version": version}
    assert use("exists", key="a") == {"exists": True}
    use("set", key="b:1", value={"n": [1]})
    use("set", user_id="bob", key="c", value="3")
    assert use("list") == {"keys": ["a", "b:1"], "more_after": None}
    assert use("list", prefix="b") == {"keys": ["b:1"], "more_after": None}
    assert use("delete", key="a") == {"deleted": True}
    assert use("delete", key="a") == {"deleted": False}
    assert use("exists", key="a") == {"exists": False}


def test_a_long_list_comes_in_pieces(use: Callable[..., Any], url: str) -> None:
    Memory("test", url=url).set_many({f"ada/{n:03}": n for n in range(150)})
    first = use("list")
    assert (len(first["keys"]), first["more_after"]) == (100, "099")
    rest = use("list", after=first["more_after"])
    assert (rest["keys"][0], len(rest["keys"]), rest["more_after"]) == ("100", 50, None)


def test_a_lost_race_tells_the_model_what_is_there_now(use: Callable[..., Any]) -> None:
    version = use("set", key="a", value="1", if_version=0)["version"]
    answer = use("set", key="a", value="2", if_version=0)
    assert answer["value"] == "1"
    assert answer["version"] == version
    assert "not written" in answer["error"]
    assert "version" in use("set", key="a", value="2", if_version=version)


def test_no_user_reaches_into_anothers_keys(use: Callable[..., Any]) -> None:
    use("set", user_id="a", key="b/c", value="of a")
    assert use("get", user_id="a/b", key="c")["version"] == 0
    assert use("list", user_id="a/b")["keys"] == []
    assert use("list", user_id="a")["keys"] == ["b/c"]


def test_a_run_without_the_id_is_told_instead_of_sharing_memory(use: Callable[..., Any]) -> None:
    for missing in (None, ""):
        with pytest.raises(ToolInvocationError, match="State has no 'user_id'"):
            use("get", user_id=missing, key="a")


def test_mistakes_of_the_model_are_answers_and_the_run_goes_on(toolset: BotWireToolset) -> None:
    wrong = [call("memory_get", key=""), call("memory_get"), call("memory_set", key="a", valve="x")]
    llm = ScriptedChatGenerator([*wrong, "sorry"])
    bot = Agent(chat_generator=llm, tools=toolset, state_schema=SCHEMA)
    out = bot.run([user("hi")], user_id="ada")
    results = [r for message in out["messages"] for r in message.tool_call_results]
    assert [result.error for result in results] == [True] * 3
    assert "key is empty" in results[0].result


def test_it_can_be_limited_shared_and_set_to_expire(url: str) -> None:
    limited = BotWireToolset("test", url=url, read_only=True)
    assert [tool.name for tool in limited] == ["memory_get", "memory_exists", "memory_list"]
    shared = BotWireToolset("test", url=url, prefix="notes/", ttl=60, sliding=True)
    (write,) = (tool for tool in shared if tool.name == "memory_set")
    write.invoke(state=State({}), key="a", value="1")
    entry = Memory("test", url=url).head("notes/a")
    assert entry is not None
    assert (entry.ttl, entry.sliding) == (60, True)


def test_ids_of_any_kind_name_a_scope(url: str) -> None:
    toolset = BotWireToolset("test", url=url, scope=["user_id", "team"])
    (write,) = (tool for tool in toolset if tool.name == "memory_set")
    schema = {"user_id": {"type": int}, "team": {"type": str}}
    write.invoke(state=State(schema, {"user_id": 7, "team": "x/y"}), key="a", value="1")
    assert Memory("test", url=url).list_keys() == ["7/x%2Fy/a"]
