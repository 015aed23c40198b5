"""`BotWireHistoryHook`: an Agent goes on with a stored conversation and adds to it.

- Saved before the run, after each step's tools and after the run: when the model fails, everything
  up to then is kept. A call and its results are saved together, so a history is always valid.
- System messages belong to the Agent, not to the conversation, and are not saved.
- Where a checkpoint has brought the run back to the middle, its messages stand as they are.
"""

from collections.abc import Sequence
from typing import Any

from haystack.components.agents.state import State, replace_values
from haystack.dataclasses import ChatMessage, ChatRole

from haystack_integrations.chat_message_stores.botwire import BotWireChatMessageStore
from haystack_integrations.chat_message_stores.botwire.rounds import last_rounds
from haystack_integrations.common.botwire import Flow, Owner, message_id, message_json
from haystack_integrations.hooks.botwire.runs import Run, identifier, messages_of, number

__all__ = ["BotWireHistoryHook"]


class BotWireHistoryHook(Owner):
    """Register one hook at `before_run`, `after_tool` and `after_run` (see `agent_hooks`).

    Args:
        chat_message_store: where conversations are kept.
        chat_history_id: which conversation, where the run does not say: a run names its own by
            `hook_context={"chat_history_id": ...}` or by a State key of that name.
        last_k: how many rounds are given to the model; None: what the store says.

    Example:
        history = BotWireHistoryHook(BotWireChatMessageStore("support", url="sqlite:///memory.db"))
        agent = Agent(chat_generator=generator, hooks=agent_hooks(history=history))
        agent.run([question], hook_context={"chat_history_id": "ada"})
    """

    allowed_hook_points = ("before_run", "after_tool", "after_run")

    def __init__(
        self,
        chat_message_store: BotWireChatMessageStore,
        *,
        chat_history_id: str | None = None,
        last_k: int | None = None,
    ) -> None:
        if last_k is not None and last_k < 0:
            raise ValueError(f"last_k must be 0 or greater, not {last_k}")
        self.chat_message_store = chat_message_store
        self.chat_history_id = chat_history_id
        self.last_k = last_k

    def _store(self) -> BotWireChatMessageStore:
        return self.chat_message_store

    def _parameters(self) -> dict[str, Any]:
        return {
            "chat_message_store": self.chat_message_store,
            "chat_history_id": self.chat_history_id,
            "last_k": self.last_k,
        }

    def run(self, state: State) -> None:
        """Load the conversation into the State, or save what is new in it."""
        self.chat_message_store.drive(self._flow(state))

    async def run_async(self, state: State) -> None:
        """As `run`."""
        await self.chat_message_store.drive_async(self._flow(state))

    def _flow(self, state: State) -> Flow[None]:
        store, run = self.chat_message_store, Run.of(state)
        chat = identifier(state, "chat_history_id", self.chat_history_id)
        place = f"{store.url} {store.namespace} {chat}"
        if place not in run.saved:
            run.saved[place] = yield from self._load(state, chat)
        yield from self._save(state, chat, run.saved[place])

    def _load(self, state: State, chat: str) -> Flow[set[str]]:
        """Put the history before the messages of this run; the ids of what is stored."""
        if Run.of(state).restored:
            return set()
        current, store = messages_of(state), self.chat_message_store
        mine, last_k = _ids(current), store.last_k if self.last_k is None else self.last_k
        asked = sum(message.is_from(ChatRole.USER) for message in current if message_id(message))
        rounds = None if last_k is None else last_k + asked  # a resumed run may be stored itself
        history = yield from store.conversation(chat).reading(rounds)
        saved = _ids(history)
        if last_k is not None:
            before = last_rounds([m for m in history if message_id(m) not in mine], last_k)
            history = [m for m in history if message_id(m) in mine | _ids(before)]
        state.set("messages", joined(history, current), handler_override=replace_values)
        return saved

    def _save(self, state: State, chat: str, saved: set[str]) -> Flow[None]:
        number(state)
        conversation, run = self.chat_message_store.conversation(chat), Run.of(state)
        spoken = [m for m in messages_of(state) if not m.is_from(ChatRole.SYSTEM)]
        new = [message for message in spoken if message_id(message) not in saved]
        if _ids(new) <= run.numbered:
            yield from conversation.adding([message_json(message) for message in new])
        else:  # some have their ids from elsewhere, and may be stored
            yield from conversation.writing(new)
        saved |= _ids(new)


def joined(history: Sequence[ChatMessage], current: Sequence[ChatMessage]) -> list[ChatMessage]:
    """Current system messages, then history and other messages in order, each once."""
    stored = _ids(history)
    system = [message for message in current if message.is_from(ChatRole.SYSTEM)]
    others = [message for message in current if not message.is_from(ChatRole.SYSTEM)]
    shared = [index for index, message in enumerate(others) if message_id(message) in stored]
    start = shared[0] if shared else 0  # what stands before is older than the history read
    past = [m for m in history if not (system and m.is_from(ChatRole.SYSTEM))]
    new = [message for message in others[start:] if message_id(message) not in stored]
    return [*system, *others[:start], *past, *new]


def _ids(messages: Sequence[ChatMessage]) -> set[str]:
    return {id_ for message in messages if (id_ := message_id(message)) is not None}
