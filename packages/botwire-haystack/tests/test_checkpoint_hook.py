"""A run that broke off goes on where it was; a finished one is not run again."""

from collections.abc import Callable
from typing import Any

import pytest
from haystack.components.agents import Agent
from haystack.components.agents.state import State
from haystack.dataclasses import ChatMessage
from haystack.hooks import hook
from haystack.tools import Tool, tool
from haystack_scripts import ScriptedChatGenerator, assistant, awaited, call, resumes, texts, user

from botwire import Conflict
from haystack_integrations.chat_message_stores.botwire import BotWireChatMessageStore
from haystack_integrations.hooks.botwire import (
    BotWireCheckpointHook,
    BotWireHistoryHook,
    agent_hooks,
)

pytestmark = resumes

Run = Callable[..., Any]


class Steps:
    """A model that calls the tool of each step in turn, wherever it is asked to go on."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.ran: list[int] = []

    def model(self, messages: list[ChatMessage]) -> ChatMessage:
        done = sum(len(message.tool_call_results) for message in messages)
        if done == self.count:
            return assistant(f"all {done} done")
        return call("work", f"call-{done}", step=done)

    def tool(self) -> Tool:
        @tool
        def work(step: int) -> str:
            """Do one step."""
            self.ran.append(step)
            return f"did {step}"

        return work


@pytest.fixture
def steps() -> Steps:
    return Steps(3)


@pytest.fixture
def checkpoint(url: str, made: Callable[..., Any]) -> BotWireCheckpointHook:
    return made(BotWireCheckpointHook("test", url=url))


@pytest.fixture
def agent(steps: Steps, checkpoint: BotWireCheckpointHook) -> Callable[..., Any]:
    """An Agent whose model fails where it is told to."""

    def make(*, fails_at: int | None = None, **parameters: Any) -> tuple[Agent, Any]:
        llm = ScriptedChatGenerator([steps.model] * 10)
        if fails_at is not None:
            llm.script[fails_at] = OSError("killed")
        hooks = agent_hooks(checkpoint=checkpoint, history=parameters.pop("history", None))
        for point, more in parameters.pop("hooks", {}).items():
            hooks.setdefault(point, []).extend(more)
        return Agent(chat_generator=llm, tools=[steps.tool()], hooks=hooks, **parameters), llm

    return make


@pytest.fixture(params=["sync", "async"])
def run(request: pytest.FixtureRequest) -> Run:
    def start(agent: Agent, *messages: ChatMessage, run_id: str = "r1", **more: Any) -> Any:
        context = {"run_id": run_id, "chat_history_id": "c"}
        if request.param == "sync":
            return agent.run(list(messages), hook_context=context, **more)
        return awaited(agent.run_async(list(messages), hook_context=context, **more))

    return start


@pytest.mark.parametrize("fails_at", [0, 1, 2, 3])
def test_a_run_goes_on_where_it_broke_off(
    agent: Callable[..., Any], steps: Steps, run: Run, fails_at: int
) -> None:
    broken, _ = agent(fails_at=fails_at)
    with pytest.raises(OSError, match="killed"):
        run(broken, user("go"))
    assert steps.ran == list(range(fails_at))
    whole, llm = agent()
    out = run(whole)
    assert steps.ran == [0, 1, 2]
    assert len(llm.seen) == 4 - fails_at
    assert out["last_message"].text == "all 3 done"
    assert out["step_count"] == 4
    assert out["tool_call_counts"] == {"work": 3}
    assert [m.role.value[0] for m in out["messages"]] == list("uatatata")


def test_a_finished_run_gives_its_result_again_and_does_nothing(
    agent: Callable[..., Any], steps: Steps, run: Run
) -> None:
    first, _ = agent(max_agent_steps=4)
    out = run(first, user("go"))
    again, llm = agent(max_agent_steps=4)
    for messages in ([], [user("go")]):
        repeated = run(again, *messages)
        assert repeated == out
    assert llm.seen == []
    assert steps.ran == [0, 1, 2]


def test_a_finished_run_takes_no_new_question(agent: Callable[..., Any], run: Run) -> None:
    bot, _ = agent()
    run(bot, user("go"))
    with pytest.raises(ValueError, match="the run 'r1' has finished, with another question"):
        run(bot, user("something else"))


def test_runs_stay_apart_and_can_be_forgotten(
    agent: Callable[..., Any], steps: Steps, run: Run, checkpoint: BotWireCheckpointHook
) -> None:
    broken, _ = agent(fails_at=1)
    for run_id in ("a", "a/b"):
        with pytest.raises(OSError, match="killed"):
            run(broken, user("go"), run_id=run_id)
        broken.chat_generator.seen.clear()
    assert checkpoint.unfinished() == ["a", "a/b"]
    run(agent()[0], run_id="a")
    assert checkpoint.unfinished() == ["a/b"]
    assert checkpoint.forget("a/b") is True
    assert checkpoint.forget("a/b") is False
    assert checkpoint.unfinished() == []


def test_a_resumed_run_keeps_its_budget_of_steps(
    agent: Callable[..., Any], steps: Steps, run: Run
) -> None:
    broken, _ = agent(fails_at=2)
    with pytest.raises(OSError, match="killed"):
        run(broken, user("go"))
    out = run(agent(max_agent_steps=3)[0])
    assert (out["exit_reason"], out["step_count"]) == ("max_agent_steps", 3)
    assert steps.ran == [0, 1, 2]
    out = run(agent(max_agent_steps=9)[0])
    assert (out["exit_reason"], out["step_count"]) == ("text", 4)
    assert steps.ran == [0, 1, 2]


def test_state_of_ones_own_comes_back_and_what_is_skipped_is_given_anew(
    agent: Callable[..., Any], checkpoint: BotWireCheckpointHook, run: Run
) -> None:
    checkpoint.skip_keys.append("connection")
    schema = {"notes": {"type": list[str]}, "user": {"type": str}, "connection": {"type": object}}

    @hook
    def note(state: State) -> None:
        state.set("notes", [f"after {state.data['step_count']}"])

    parameters: dict[str, Any] = {"state_schema": schema}
    broken, _ = agent(fails_at=2, hooks={"before_llm": [note]}, **parameters)
    with pytest.raises(OSError, match="killed"):
        run(broken, user("go"), user="ada", connection=object())
    fresh = object()
    out = run(agent(**parameters)[0], connection=fresh)
    assert out["notes"] == ["after 0", "after 1"]
    assert out["user"] == "ada"
    assert out["connection"] is fresh


def test_what_cannot_be_saved_is_left_out_with_a_warning_and_the_rest_is_kept(
    agent: Callable[..., Any], run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    schema = {"connection": {"type": object}, "user": {"type": str}}
    broken, _ = agent(fails_at=1, state_schema=schema)
    with pytest.raises(OSError, match="killed"):
        run(broken, user("go"), user="ada", connection=object())
    assert "Failed to serialize the 'connection' field" in caplog.text
    out = run(agent(state_schema=schema)[0])
    assert out["user"] == "ada"
    assert out["last_message"].text == "all 3 done"


def test_messages_and_documents_in_state_come_back_as_objects(
    agent: Callable[..., Any], run: Run
) -> None:
    from haystack import Document

    schema = {"documents": {"type": list[Document]}}
    broken, _ = agent(fails_at=1, state_schema=schema)
    with pytest.raises(OSError, match="killed"):
        run(broken, user("go"), documents=[Document(content="x", meta={"n": 1})])
    out = run(agent(state_schema=schema)[0])
    assert out["documents"] == [Document(content="x", meta={"n": 1})]


def test_two_processes_that_resume_one_run_do_not_both_go_on(
    agent: Callable[..., Any], steps: Steps, run: Run
) -> None:
    """The second one takes the run over; the first notices at its next save, and stops."""
    other, _ = agent()
    taken = []

    @hook
    def meanwhile(state: State) -> None:
        if not taken:
            taken.append(run_sync(other))

    def run_sync(bot: Agent) -> Any:
        return bot.run([], hook_context={"run_id": "r1"})

    broken, _ = agent(fails_at=1)
    with pytest.raises(OSError, match="killed"):
        run_sync_with(broken, user("go"))
    slow, _ = agent(hooks={"before_llm": [meanwhile]})
    with pytest.raises(Conflict) as caught:
        run_sync(slow)
    assert caught.value.__notes__ == ["Another process goes on with this run; this one must stop."]
    assert taken[0]["last_message"].text == "all 3 done"


def run_sync_with(bot: Agent, *messages: ChatMessage) -> Any:
    return bot.run(list(messages), hook_context={"run_id": "r1"})


def test_an_exit_that_a_hook_prevented_does_not_look_like_the_end(
    agent: Callable[..., Any], steps: Steps, checkpoint: BotWireCheckpointHook
) -> None:
    """Its exit reason stays in the State; what is saved later must not take it for the end."""

    @hook
    def insist(state: State) -> None:
        if steps.count == 3:
            steps.count = 5
            state.set("messages", [user("Go on")])
            state.set("continue_run", True)

    bot, _ = agent(fails_at=5, hooks={"on_exit": [insist]})
    with pytest.raises(OSError, match="killed"):
        run_sync_with(bot, user("go"))
    assert steps.ran == [0, 1, 2, 3]
    assert checkpoint.unfinished() == ["r1"]
    assert run_sync_with(agent()[0])["last_message"].text == "all 5 done"
    assert steps.ran == [0, 1, 2, 3, 4]


def test_a_run_that_ends_with_a_tool_is_finished(
    agent: Callable[..., Any], steps: Steps, run: Run, checkpoint: BotWireCheckpointHook
) -> None:
    out = run(agent(exit_conditions=["work"])[0], user("go"))
    assert out["exit_reason"] == "work"
    assert checkpoint.unfinished() == []
    assert run(agent(exit_conditions=["work"])[0]) == out
    assert steps.ran == [0]


def test_without_a_run_id_nothing_starts(agent: Callable[..., Any]) -> None:
    bot, llm = agent()
    with pytest.raises(ValueError, match="this run has no run_id"):
        bot.run([user("go")])
    assert llm.seen == []


def test_a_hook_that_was_not_there_at_the_beginning_says_so(
    steps: Steps, checkpoint: BotWireCheckpointHook
) -> None:
    llm = ScriptedChatGenerator([steps.model] * 3)
    hooks: Any = {"after_tool": [checkpoint]}
    bot = Agent(chat_generator=llm, tools=[steps.tool()], hooks=hooks)
    with pytest.raises(ValueError, match="register the checkpoint hook at before_run, too"):
        run_sync_with(bot, user("go"))


def test_a_run_is_kept_for_a_week_or_as_long_as_wanted(url: str) -> None:
    assert BotWireCheckpointHook(url=url).ttl == 7 * 86400
    assert BotWireCheckpointHook(url=url, ttl=None).ttl is None


# -- together with the history -----------------------------------------------------------------


@pytest.mark.parametrize("fails_at", [0, 1, 2, 3])
@pytest.mark.parametrize("again", [[], ["go"]])
def test_a_resumed_run_leaves_one_whole_conversation(
    agent: Callable[..., Any],
    store: BotWireChatMessageStore,
    steps: Steps,
    run: Run,
    fails_at: int,
    again: list[str],
) -> None:
    store.write_messages("c", [user("1"), assistant("1"), user("2"), assistant("2")])
    history = BotWireHistoryHook(store, last_k=1)
    broken, _ = agent(fails_at=fails_at, history=history)
    with pytest.raises(OSError, match="killed"):
        run(broken, user("go"))
    out = run(agent(history=history)[0], *map(user, again))
    assert texts(out["messages"])[:3] == ["2", "2", "go"]
    stored = store.retrieve_messages("c")
    assert texts(stored)[:5] == ["1", "1", "2", "2", "go"]
    assert stored[2:] == out["messages"]
    assert steps.ran == [0, 1, 2]


@pytest.mark.parametrize("broken_save", range(1, 6))
def test_a_run_killed_between_checkpoint_and_history_repairs_the_conversation(
    agent: Callable[..., Any],
    store: BotWireChatMessageStore,
    steps: Steps,
    run: Run,
    broken_save: int,
) -> None:
    saves = []

    class Dying(BotWireHistoryHook):
        def run(self, state: State) -> None:
            saves.append(1)
            if len(saves) == broken_save:
                raise OSError("killed")
            super().run(state)

        async def run_async(self, state: State) -> None:
            self.run(state)

    store.write_messages("c", [user("1"), assistant("1")])
    with pytest.raises(OSError, match="killed"):
        run(agent(history=Dying(store))[0], user("go"))
    out = run(agent(history=BotWireHistoryHook(store))[0])
    assert steps.ran == [0, 1, 2]
    stored = store.retrieve_messages("c")
    assert texts(stored) == ["1", "1", "go", *[None] * 6, "all 3 done"]
    assert stored == out["messages"]


def test_a_haystack_without_a_way_to_end_a_run_is_refused_at_once(
    checkpoint: BotWireCheckpointHook,
) -> None:
    schema = {"messages": {"type": list[ChatMessage]}, "run_id": {"type": str}}  # as before 3.2
    with pytest.raises(RuntimeError, match=r"haystack-ai 3\.2"):
        checkpoint.run(State(schema, {"messages": [user("?")], "run_id": "r"}))
    assert checkpoint.unfinished() == []
