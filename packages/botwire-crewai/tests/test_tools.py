"""What agents can do with memory tools, called one by one and by real crews in both styles."""

import json
import threading
import time
from typing import Any

import pytest
from crewai import Agent, Crew, Task
from crewai.tools import BaseTool
from crewai.tools.base_tool import _resolve_tool_dict
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted_model import ScriptedModel, use
from storage_help import newer

from botwire import Memory
from botwire.errors import InvalidRequest
from botwire_crewai import memory_tools
from botwire_crewai.failures import ToolFailure

STYLES = pytest.mark.parametrize("style", ["text", "native"])


def crew_of(model: ScriptedModel, tools: list[BaseTool], **settings_: Any) -> Crew:
    agent = Agent(role="keeper", goal="remember", backstory="careful", llm=model, tools=tools)
    task = Task(description="Remember the city.", expected_output="the city", agent=agent)
    return Crew(agents=[agent], tasks=[task], tracing=False, **settings_)


def play(style: str, tools: list[BaseTool], *script: Any, **settings_: Any) -> Any:
    model = ScriptedModel(style=style, script=[*script, "done"])
    return crew_of(model, tools, **settings_).kickoff(), model


@pytest.fixture
def tools(url: str) -> list[BaseTool]:
    return memory_tools("team", url=url, more="all")


@pytest.fixture
def by_name(tools: list[BaseTool]) -> dict[str, BaseTool]:
    return {tool.name: tool for tool in tools}


# -- one tool at a time ------------------------------------------------------------------------


def test_the_first_three_tools_are_remember_recall_and_list_memory(url: str) -> None:
    assert [tool.name for tool in memory_tools("team", url=url)] == [
        "remember",
        "recall",
        "list_memory",
    ]


def test_core_hands_out_the_same_function() -> None:
    from botwire.memory import memory_tools as from_core

    assert from_core is memory_tools


def test_further_tools_follow_in_the_order_asked_for(url: str) -> None:
    names = [tool.name for tool in memory_tools("t", url=url, more=["append_memory", "forget"])]
    assert names[3:] == ["append_memory", "forget"]


def test_an_unknown_tool_is_refused_with_the_names_there_are(url: str) -> None:
    with pytest.raises(InvalidRequest, match="wait_for_memory"):
        memory_tools("team", url=url, more=["delete_everything"])


def test_what_is_remembered_is_what_memory_holds(by_name: dict[str, BaseTool], url: str) -> None:
    assert by_name["remember"].run(key="city", value="Oslo") == (
        "Remembered 'city' in memory 'team'."
    )
    assert Memory("team", url=url).get("city") == "Oslo"
    assert by_name["recall"].run(key="city") == '"Oslo"'


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ('{"a": [1, 2.50]}', {"a": [1, 2.5]}),
        (' ["x"] ', ["x"]),
        ("1.10", "1.10"),
        ("true", "true"),
        ("null", "null"),
        ("{not json", "{not json"),
        ('{"a": NaN}', '{"a": NaN}'),
        ("", ""),
        ({"a": 1}, {"a": 1}),
        (7, 7),
        (None, None),
    ],
)
def test_objects_and_arrays_are_kept_as_such_and_other_text_as_text(
    by_name: dict[str, BaseTool], url: str, written: Any, kept: Any
) -> None:
    by_name["remember"].run(key="k", value=written)
    assert Memory("team", url=url).get("k", "missing") == kept
    assert json.loads(by_name["recall"].run(key="k")) == kept


@settings(max_examples=60, deadline=None)
@given(st.text(min_size=1, max_size=40).filter(lambda key: "\0" not in key), st.text())
def test_any_text_comes_back_equal(key: str, text: str) -> None:
    remember, recall, _ = memory_tools("texts", url="memory://")
    answer = remember.run(key=key, value=text)
    assert isinstance(answer, str), answer
    found = json.loads(recall.run(key=key))
    assert found == (json.loads(text) if isinstance(found, (dict, list)) else text)


def test_a_missing_key_is_a_whole_sentence(by_name: dict[str, BaseTool]) -> None:
    nothing = "Nothing is remembered under 'city' in memory 'team'."
    assert by_name["recall"].run(key="city") == nothing
    assert by_name["forget"].run(key="city") == nothing


def test_a_stored_null_is_not_a_missing_key(by_name: dict[str, BaseTool], url: str) -> None:
    Memory("team", url=url).set("k", None)
    assert by_name["recall"].run(key="k") == "null"


def test_a_ttl_comes_from_the_agent_or_from_the_tools(url: str) -> None:
    remember, *_ = memory_tools("team", url=url, ttl=3600)
    assert remember.run(key="a", value="x").endswith("for 3600 seconds.")
    remember.run(key="b", value="x", ttl_seconds=60)
    memory = Memory("team", url=url)
    assert 3590 < (memory.ttl("a") or 0) <= 3600
    assert 50 < (memory.ttl("b") or 0) <= 60


def test_listing_pages_through_every_key(by_name: dict[str, BaseTool], url: str) -> None:
    Memory("team", url=url).set_many({f"note:{n:03}": n for n in range(250)} | {"z": 0})
    seen: list[str] = []
    after = None
    while True:
        page = json.loads(by_name["list_memory"].run(prefix="note:", after=after))
        seen += page["keys"]
        assert len(page["keys"]) <= 100
        after = page["continue_after"]
        if after is None:
            break
    assert seen == [f"note:{n:03}" for n in range(250)]


def test_an_empty_listing_is_a_sentence(by_name: dict[str, BaseTool]) -> None:
    assert by_name["list_memory"].run() == "Nothing is remembered in memory 'team'."
    assert "starts with 'x'" in by_name["list_memory"].run(prefix="x")


@pytest.mark.parametrize("expected", ["Oslo", '"Oslo"'])
def test_compare_and_set_replaces_what_was_expected(
    by_name: dict[str, BaseTool], url: str, expected: str
) -> None:
    memory = Memory("team", url=url)
    memory.set("city", "Oslo", ttl=60)
    answer = by_name["compare_and_set"].run(key="city", expected=expected, value="Bergen")
    assert answer == "Replaced 'city' in memory 'team'."
    assert memory.get("city") == "Bergen"
    assert (memory.ttl("city") or 0) <= 60  # the expiry stays unless a ttl is given


@pytest.mark.parametrize(("held", "expected"), [("Oslo", "Rome"), (True, "1"), ("x", None)])
def test_compare_and_set_says_what_is_there_instead(
    by_name: dict[str, BaseTool], url: str, held: Any, expected: Any
) -> None:
    Memory("team", url=url).set("k", held)
    answer = by_name["compare_and_set"].run(key="k", expected=expected, value="new")
    assert answer == f"Not replaced: 'k' holds {json.dumps(held)}, which is not what was expected."
    assert Memory("team", url=url).get("k") == held


def test_compare_and_set_can_ask_for_a_key_that_does_not_exist(
    by_name: dict[str, BaseTool],
) -> None:
    tool = by_name["compare_and_set"]
    assert tool.run(key="k", expected=None, value="mine").startswith("Replaced")
    assert tool.run(key="k", expected=None, value="yours").startswith("Not replaced: 'k' holds")
    assert tool.run(key="other", expected="x", value="y").startswith("Not replaced: Nothing is")


def test_only_one_of_many_that_compare_and_set_at_once_wins(url: str) -> None:
    tool = memory_tools("race", url=url, more=["compare_and_set"])[-1]
    answers: list[str] = []
    threads = [
        threading.Thread(
            target=lambda n=n: answers.append(tool.run(key="k", expected=None, value=str(n)))
        )
        for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(answer.startswith("Replaced") for answer in answers) == 1


def test_appending_makes_a_list_and_adds_to_it(by_name: dict[str, BaseTool], url: str) -> None:
    by_name["append_memory"].run(key="log", item="first")
    answer = by_name["append_memory"].run(key="log", item='{"n": 2}')
    assert answer == "Added to 'log' in memory 'team', a list of 2 now."
    assert Memory("team", url=url).get("log") == ["first", {"n": 2}]


def test_waiting_ends_as_soon_as_somebody_remembers(by_name: dict[str, BaseTool], url: str) -> None:
    later = threading.Timer(0.2, lambda: Memory("team", url=url).set("go", "now"))
    later.start()
    assert by_name["wait_for_memory"].run(key="go", timeout_seconds=30) == '"now"'
    later.join()


def test_waiting_in_vain_is_a_sentence(by_name: dict[str, BaseTool]) -> None:
    answer = by_name["wait_for_memory"].run(key="never", timeout_seconds=0.1)
    assert answer == "Nothing is remembered under 'never' in memory 'team'. Waited 0.1 seconds."


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_waiting_for_no_time_looks_once(by_name: dict[str, BaseTool], seconds: float) -> None:
    tool = by_name["wait_for_memory"]
    assert tool.run(key="never", timeout_seconds=seconds).endswith("Waited 0 seconds.")
    by_name["remember"].run(key="k", value="v")
    assert tool.run(key="k", timeout_seconds=seconds) == '"v"'


async def test_a_tool_can_be_awaited(by_name: dict[str, BaseTool]) -> None:
    await by_name["remember"].arun(key="k", value="v")
    assert await by_name["recall"].arun(key="k") == '"v"'


# -- failures ------------------------------------------------------------------------------------


def test_an_error_of_the_memory_is_returned_and_not_raised(
    by_name: dict[str, BaseTool], nowhere: str
) -> None:
    for arguments in ({"key": ""}, {"key": "k", "ttl_seconds": -1}, {"key": "k" * 600}):
        assert "BW-422" in repr(by_name["remember"].run(value="x", **arguments))
    recall = memory_tools("team", url=nowhere, timeout=0.2)[1]
    assert "BW-503-unreachable" in repr(recall.run(key="k"))


@newer
def test_a_failure_says_whether_it_may_work_later(
    by_name: dict[str, BaseTool], nowhere: str
) -> None:
    wrong = by_name["remember"].run(key="", value="x")
    assert isinstance(wrong, ToolFailure)
    assert (wrong.code, wrong.retryable) == ("BW-422-key", False)
    recall = memory_tools("team", url=nowhere, timeout=0.2)[1]
    away = recall.run(key="k")
    assert (away.code, away.retryable) == ("BW-503-unreachable", True)


def test_no_secret_stands_in_a_failure(nowhere: str) -> None:
    url = nowhere.replace("http://", "http://me:hunter2@")
    recall = memory_tools("t", url=url, api_key="sk-very-secret", timeout=0.2)[1]
    text = repr(recall.run(key="k")) + repr(recall)
    assert "hunter2" not in text
    assert "sk-very-secret" not in text


@STYLES
def test_a_dead_server_is_asked_once_and_the_crew_goes_on(style: str, nowhere: str) -> None:
    tools = memory_tools("team", url=nowhere, timeout=0.2)
    runs = counted(tools[0])
    out, model = play(style, tools, use("remember", key="city", value="Oslo"))
    assert len(runs) == 1
    assert "BW-503-unreachable" in model.results()[0]
    assert out.raw == "done"
    if ToolFailure is not None:  # crewai before 1.15.10 keeps no list of them
        assert [one.tool_name for one in out.tasks_output[0].tool_failures] == ["remember"]


def counted(tool: BaseTool) -> list[Any]:
    """Every execution of this tool, from now on."""
    runs: list[Any] = []
    answer = tool.answer

    def counting(memory: Memory, asked: Any) -> str:
        runs.append(asked)
        return answer(memory, asked)

    object.__setattr__(tool, "answer", counting)
    return runs


# -- crews ---------------------------------------------------------------------------------------


@STYLES
def test_a_crew_remembers_and_recalls(style: str, tools: list[BaseTool], url: str) -> None:
    out, model = play(
        style,
        tools,
        use("recall", key="city"),
        use("remember", key="city", value="Oslo"),
        use("recall", key="city"),
        use("list_memory"),
    )
    assert out.raw == "done"
    assert Memory("team", url=url).get("city") == "Oslo"
    first, stored, second, listed = (result.partition("\n")[0] for result in model.results())
    assert first == "Nothing is remembered under 'city' in memory 'team'."
    assert stored == "Remembered 'city' in memory 'team'."
    assert second == '"Oslo"'
    assert listed == '{"keys":["city"],"continue_after":null}'
    assert getattr(out.tasks_output[0], "tool_failures", []) == []


@STYLES
def test_results_are_never_stale_even_when_the_crew_caches(
    style: str, tools: list[BaseTool], url: str
) -> None:
    memory = Memory("team", url=url)
    memory.set("n", 1)
    _, model = play(
        style,
        tools,
        use("recall", key="n"),
        use("remember", key="n", value="two"),
        use("recall", key="n"),
        use("remember", key="n", value="three"),
        use("remember", key="other", value="x"),
        use("remember", key="n", value="two"),
        cache=True,
    )
    assert [result.partition("\n")[0] for result in model.results()][:3:2] == ["1", '"two"']
    assert memory.get("n") == "two"  # the second identical remember was executed


async def test_a_crew_can_be_awaited(tools: list[BaseTool]) -> None:
    model = ScriptedModel(script=[use("remember", key="k", value="v"), use("recall", key="k"), "x"])
    out = await crew_of(model, tools).akickoff()
    assert out.raw == "x"
    assert model.results()[1].startswith('"v"')


def test_calls_of_one_turn_run_in_their_order(tools: list[BaseTool]) -> None:
    turn = [
        call
        for n in range(8)
        for call in (use("remember", key="k", value=f"v{n}"), use("recall", key="k"))
    ]
    _, model = play("native", tools, turn)
    recalled = [result for result in model.results() if result.startswith('"')]
    assert recalled == [f'"v{n}"' for n in range(8)]


def test_the_schema_has_only_scalars_that_a_model_can_fill(tools: list[BaseTool]) -> None:
    _, model = play("native", tools)
    for schema in model.schemas[0]:
        for argument in schema["function"]["parameters"]["properties"].values():
            kinds = argument.get("anyOf", [argument])
            assert {kind["type"] for kind in kinds} <= {"string", "number", "null"}, schema


@STYLES
def test_one_agent_holds_tools_for_two_namespaces(style: str, url: str) -> None:
    own = memory_tools("writer", prefix="my", url=url)
    shared = memory_tools("project", prefix="shared", url=url)
    _, model = play(
        style,
        own + shared,
        use("my_remember", key="k", value="private"),
        use("shared_remember", key="k", value="for all"),
        use("my_recall", key="k"),
        use("shared_recall", key="k"),
    )
    assert [r.partition("\n")[0] for r in model.results()[2:]] == ['"private"', '"for all"']
    assert Memory("project", url=url).get("k") == "for all"


# -- checkpoints -----------------------------------------------------------------------------------


def test_a_tool_comes_back_from_its_checkpoint_and_works(
    tools: list[BaseTool], url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Memory("team", url=url).set("city", "Oslo")
    for tool in tools:
        text = json.dumps(tool.model_dump(mode="json"))
        back = _resolve_tool_dict(json.loads(text))
        assert type(back) is type(tool)
        assert back.args_schema is tool.args_schema
        assert back.name == tool.name
        assert tool.description in back.description
        assert back.cache_function is tool.cache_function
    assert _resolve_tool_dict(tools[1].model_dump(mode="json")).run(key="city") == '"Oslo"'


@pytest.mark.parametrize(
    "place", ["http://me:hunter2@localhost:1", "postgresql://localhost/db?password=hunter2"]
)
def test_no_key_and_no_password_stands_in_a_checkpoint(
    place: str, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOTWIRE_URL", url)
    tool = memory_tools("team", url=place, api_key="sk-very-secret")[1]
    dump = tool.model_dump(mode="json")
    assert "hunter2" not in json.dumps(dump)
    assert "sk-very-secret" not in json.dumps(dump)
    back = _resolve_tool_dict(dump)  # finds its memory through the environment
    assert back.run(key="k").startswith("Nothing is remembered")


def test_crew_copies_share_the_memory(tools: list[BaseTool], url: str) -> None:
    model = ScriptedModel(script=[use("remember", key="k", value="v"), "a"])
    results = crew_of(model, tools).kickoff_for_each([{"n": 1}, {"n": 2}])
    assert [result.raw for result in results] == ["a", "a"]
    assert Memory("team", url=url).get("k") == "v"


def test_a_tool_is_cheap_to_make_and_calls_nobody(nowhere: str) -> None:
    started = time.perf_counter()
    memory_tools("team", url=nowhere, more="all")
    assert time.perf_counter() - started < 0.5
