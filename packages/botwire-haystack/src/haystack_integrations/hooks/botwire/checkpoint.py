"""`BotWireCheckpointHook`: a run that was killed goes on where it was; tools do not run again.

- The State is saved before the run, after each step's tools and after the run. Resuming is running
  again with the same `run_id`, in any process; the messages need not be given again.
- Every save is a compare-and-set on the version this run wrote last. Two processes that go on with
  one run therefore notice: the second one to save gets a `Conflict` and stops.
- A finished run stays: running it again returns its result and calls neither model nor tools.
- The model is asked again only for the step that was interrupted. A tool that was interrupted
  itself, between its effect and the end of its step, runs again.
"""

from typing import Any

from haystack.components.agents.state import State, replace_values
from haystack.dataclasses import ChatMessage, ChatRole
from haystack.utils import Secret

from botwire import Conflict, Entry
from botwire.jsontext import Json
from botwire.operations import Read, Set
from haystack_integrations.common.botwire import API_KEY, Backed, Flow, as_json, segment
from haystack_integrations.hooks.botwire.runs import Run, identifier, messages_of, number

__all__ = ["BotWireCheckpointHook"]

PREFIX = "runs/"
WEEK = 7 * 86400.0
MAX_STEPS = "max_agent_steps"  # as an exit reason: the run may go on with a larger budget
STOP = "stop_run"  # the State key by which a hook ends a run, from Haystack 3.2 on
PASSING = ("tools", "hook_context", "continue_run", STOP, "context_tokens")  # not of the run
FINISHED = -1  # the version of a run that is not saved again


class BotWireCheckpointHook(Backed):
    """Register one hook at `before_run`, `after_tool` and `after_run` (see `agent_hooks`).

    Needs haystack-ai 3.2 or newer.

    Args:
        namespace, url, api_key, timeout: where; see `Backed`.
        run_id: which run, where the run does not say: it names itself by
            `hook_context={"run_id": ...}` or by a State key of that name.
        skip_keys: State keys that are given anew with each run, such as a database connection.
        ttl: seconds a run is kept after its last step; None: for ever.

    Example:
        checkpoint = BotWireCheckpointHook("jobs", url="sqlite:///memory.db")
        agent = Agent(chat_generator=llm, tools=tools, hooks=agent_hooks(checkpoint=checkpoint))
        agent.run([question], hook_context={"run_id": "job-7"})   # killed behind the second tool
        agent.run([], hook_context={"run_id": "job-7"})           # goes on with the third
    """

    allowed_hook_points = ("before_run", "after_tool", "after_run")

    def __init__(
        self,
        namespace: str = "haystack",
        *,
        run_id: str | None = None,
        skip_keys: list[str] | None = None,
        ttl: float | None = WEEK,
        url: str | None = None,
        api_key: Secret | None = API_KEY,
        timeout: float = 30.0,
    ) -> None:
        super().__init__(namespace, url=url, api_key=api_key, timeout=timeout)
        self.run_id = run_id
        self.skip_keys = list(skip_keys or ())
        self.ttl = ttl

    def _parameters(self) -> dict[str, Any]:
        return {"run_id": self.run_id, "skip_keys": self.skip_keys, "ttl": self.ttl}

    def run(self, state: State) -> None:
        """Bring the run back if it is known, else save it."""
        self.drive(self._flow(state))

    async def run_async(self, state: State) -> None:
        """As `run`."""
        await self.drive_async(self._flow(state))

    def forget(self, run_id: str) -> bool:
        """Delete what is kept of a run; True if there was something."""
        return self.memory.delete(PREFIX + segment(run_id))

    def unfinished(self) -> list[str]:
        """The ids of all runs that have not come to their end, so that they can be resumed."""
        runs = self.memory.items(PREFIX)
        return [value["run_id"] for _, value in runs if not value["finished"]]

    # -- flows -----------------------------------------------------------------------------------

    def _flow(self, state: State) -> Flow[None]:
        run_id = identifier(state, "run_id", self.run_id)
        key = PREFIX + segment(run_id)
        place = f"{self.url} {self.namespace} {key}"
        run = Run.of(state)
        version = run.versions.get(place)
        if version is None:
            run.versions[place] = yield from self._begin(state, run_id, key)
        elif version == FINISHED:
            state.set("step_count", run.steps)
        else:
            run.versions[place] = yield from self._put(key, self._saved(state, run_id), version)
        run.calls = _calls(state)

    def _begin(self, state: State, run_id: str, key: str) -> Flow[int]:
        """Bring the run back, or note that it begins; the version it now has."""
        if STOP not in state.schema:
            raise RuntimeError(
                "checkpoints need haystack-ai 3.2 or newer: pip install -U haystack-ai"
            )
        entry: Entry | None = yield Read(self.namespace, key)
        if entry is None:
            if _calls(state):
                raise ValueError("register the checkpoint hook at before_run, too")
            return (yield from self._put(key, self._saved(state, run_id), 0))
        known = State.from_dict({"schema": {}, "data": entry.value["state"]}).data
        if entry.value["finished"]:
            _replay(state, known, run_id)
            return FINISHED
        _restore(state, known)
        return (yield from self._put(key, as_json(entry.value), entry.version))

    def _put(self, key: str, saved: Json, version: int) -> Flow[int]:
        try:
            return (yield Set(self.namespace, key, saved, self.ttl, if_version=version))
        except Conflict as conflict:
            conflict.add_note("Another process goes on with this run; this one must stop.")
            raise

    def _saved(self, state: State, run_id: str) -> Json:
        number(state)
        inside, ended = _inside_step(state), state.data.get("exit_reason")
        finished = not inside and ended not in (None, MAX_STEPS)
        passing = {*PASSING, *self.skip_keys}
        data = {name: value for name, value in state.data.items() if name not in passing}
        if inside:  # Haystack counts the step once its tools' hooks have run
            data["step_count"] = data.get("step_count", 0) + 1
        if not finished:
            data["exit_reason"] = None
        whole = State({}, data).to_dict()["data"]
        return as_json({"run_id": run_id, "finished": finished, "state": whole})


def _calls(state: State) -> int:
    counts: dict[str, int] = state.data.get("tool_call_counts") or {}
    return sum(counts.values())


def _inside_step(state: State) -> bool:
    """Whether tools have run since this run was last saved: it is at after_tool then.

    The exit reason does not tell, since that of an exit which a hook prevented stays in the State.
    """
    return _calls(state) > Run.of(state).calls


def _restore(state: State, known: dict[str, Any]) -> None:
    for name, value in known.items():
        if name in state.schema:
            state.set(name, value, handler_override=replace_values)
    Run.of(state).restored = known["step_count"] > 0


def _replay(state: State, known: dict[str, Any], run_id: str) -> None:
    """Let the run end at once with the result it had."""
    asked = _question(messages_of(state))
    if asked is not None and asked != _question(known["messages"]):
        raise ValueError(
            f"the run {run_id!r} has finished, with another question; a new one needs a new run_id"
        )
    _restore(state, known)
    Run.of(state).steps = known["step_count"]
    state.set("step_count", 0)  # or a run that used all its steps would not get to stop_run
    state.set(STOP, known["exit_reason"])


def _question(messages: list[ChatMessage]) -> Any:
    """What the user said last."""
    asked = [message for message in messages if message.is_from(ChatRole.USER)]
    return asked[-1].to_dict()["content"] if asked else None
