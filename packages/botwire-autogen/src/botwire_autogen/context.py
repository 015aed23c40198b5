"""`BotWireChatCompletionContext`: a conversation that is stored message by message.

- A message is stored before `add_message` returns, so a process that dies loses nothing.
- Each message is added on the condition that nobody else added one. A question goes behind what
  another worker said meanwhile; an answer or a tool's result is then refused with `Conflict`,
  because it was made without knowing that.
- What is stored is never trimmed; views trim what the model sees, and only between whole turns.
- Memory blocks are shown and never stored.
"""

from collections.abc import Mapping
from typing import Any, Self

from autogen_core import Component, ComponentModel
from autogen_core.model_context import ChatCompletionContext
from autogen_core.models import AssistantMessage, LLMMessage, SystemMessage, UserMessage
from pydantic import TypeAdapter

from botwire import BotWireError, Conflict
from botwire_autogen.block import POINTER, Block, is_block, tail_position
from botwire_autogen.longlist import LongList
from botwire_autogen.place import Place, options
from botwire_autogen.turns import mended, trimmed

__all__ = ["BotWireChatCompletionContext"]

_messages = TypeAdapter[list[LLMMessage]](list[LLMMessage])


class BotWireChatCompletionContextConfig(Place):
    """What `dump_component` writes: the address and the options, never a key."""

    conversation: str = "default"
    view: ComponentModel | None = None
    initial_messages: list[LLMMessage] | None = None
    ttl: float | None = None
    sliding: bool = False


class BotWireChatCompletionContext(
    ChatCompletionContext, Component[BotWireChatCompletionContextConfig]
):
    """A model context that survives the process: the next one continues the conversation.

    A tool call that was never answered, because the process ended, is shown to the model with a
    result that says so.

    Args:
        namespace: whose conversation it is, such as a user, a team or an agent.
        conversation: names it within the namespace. Each agent needs one of its own.
        view: a context of autogen that chooses what the model sees, such as
            `BufferedChatCompletionContext(20)`; without it everything.
        initial_messages: how a conversation begins that is not stored yet.
        ttl: seconds after its last message a conversation is forgotten; `sliding`: or after its
            last reading.
        url, api_key, timeout: as for `botwire.Memory`.
        api_key_env: the environment variable that holds the key unless `api_key` is given.

    >>> import asyncio
    >>> context = BotWireChatCompletionContext("ada", "chat-1", url="memory://")
    >>> asyncio.run(context.add_message(UserMessage(content="Hello!", source="user")))
    >>> later = BotWireChatCompletionContext("ada", "chat-1", url="memory://")
    >>> [message.content for message in asyncio.run(later.get_messages())]
    ['Hello!']
    """

    component_config_schema = BotWireChatCompletionContextConfig
    component_provider_override = "botwire_autogen.BotWireChatCompletionContext"

    def __init__(
        self,
        namespace: str,
        conversation: str = "default",
        *,
        view: ChatCompletionContext | None = None,
        initial_messages: list[LLMMessage] | None = None,
        ttl: float | None = None,
        sliding: bool = False,
        url: str | None = None,
        api_key: str | None = None,
        api_key_env: str = "BOTWIRE_API_KEY",
        timeout: float = 30.0,
    ) -> None:
        super().__init__(initial_messages)
        self._config = BotWireChatCompletionContextConfig(
            namespace=namespace,
            conversation=conversation,
            initial_messages=initial_messages,
            ttl=ttl,
            sliding=sliding,
            url=url,
            api_key_env=api_key_env,
            timeout=timeout,
        )
        self._memory = self._config.open(api_key)
        self._stored = LongList(self._memory, f"conversation/{conversation}", ttl, sliding)
        self._pointer = {"namespace": namespace, "conversation": conversation}
        self._view = view
        self._begin = list(initial_messages or [])
        self._version: int | None = None  # of what is stored; 0: nothing is, None: not read yet
        self.memory_blocks: dict[str, Block] = {}

    # -- what autogen asks for -------------------------------------------------------------------

    async def add_message(self, message: LLMMessage) -> None:
        """Store the message.

        Raises:
            Conflict: another worker continued this conversation, and this answer or result, made
                without knowing that, was not stored.
        """
        while True:  # each turn of this loop, another worker has stored a message
            await self._read_once()
            try:
                return await self._append(message)
            except Conflict as conflict:
                if not isinstance(message, UserMessage):
                    conflict.add_note("Another worker continued this conversation meanwhile.")
                    raise

    async def get_messages(self) -> list[LLMMessage]:
        """What the model sees: the blocks of memories and the view of the conversation."""
        await self._read_once()
        shown = mended(self._messages)
        if self._view is not None:
            shown = await _through(self._view, shown)
        return self._with_blocks(shown)

    async def clear(self) -> None:
        """Delete the conversation. As in autogen, initial messages do not come back."""
        await self._stored.delete()
        self._messages, self._version, self._begin = [], 0, []
        self.memory_blocks.clear()

    async def save_state(self) -> Mapping[str, Any]:
        """The state as every context of autogen takes it, and which conversation it is."""
        await self._read_once()
        return {**await super().save_state(), POINTER: self._pointer}

    async def load_state(self, state: Mapping[str, Any]) -> None:
        """Make the conversation what the state says, whichever context of autogen saved it.

        A state of this very conversation never takes away what was said after it was saved; to go
        back in time, load `{"messages": state["messages"]}`.
        """
        given = [message for message in state.get("messages", []) if not is_block(message)]
        messages = _messages.validate_python(given)
        await self.refresh()
        wanted, stored = _dumped(messages), _dumped(self._messages)
        continued = state.get(POINTER) == self._pointer and stored[: len(wanted)] == wanted
        if not continued and stored != wanted:
            await self._replace(messages, wanted)

    # -- what goes beyond it ---------------------------------------------------------------------

    async def broke_off(self) -> bool:
        """Whether the last turn has no answer yet; `agent.run()`, without a task, continues it."""
        await self.refresh()
        last = self._messages[-1] if self._messages else None
        answered = isinstance(last, AssistantMessage) and isinstance(last.content, str)
        return last is not None and not isinstance(last, SystemMessage) and not answered

    async def refresh(self) -> None:
        """Read the conversation again, with what other workers said since."""
        self._version = None
        await self._read_once()

    async def close(self) -> None:
        """Give the connection back. Nothing is deleted; closing twice is fine."""
        await self._memory.close()

    # -- inside ----------------------------------------------------------------------------------

    async def _read_once(self) -> None:
        if self._version is None:
            stored, self._version = await self._stored.read()
            self._messages = (
                _messages.validate_python(stored) if self._version else list(self._begin)
            )

    async def _append(self, message: LLMMessage) -> None:
        new = [message] if self._version else [*self._messages, message]
        try:
            self._version = await self._stored.append(_dumped(new), self._version)
        except BotWireError:  # stored or not: what is stored will tell
            self._version = None
            raise
        self._messages.append(message)

    async def _replace(self, messages: list[LLMMessage], dumped: list[Any]) -> None:
        self._version = await self._stored.replace(dumped, self._version)
        self._messages = messages

    def _with_blocks(self, messages: list[LLMMessage]) -> list[LLMMessage]:
        heads = [block for where, block in self.memory_blocks.values() if where == "head"]
        tails = [block for where, block in self.memory_blocks.values() if where == "tail"]
        place = tail_position([message.type for message in messages])
        return [*heads, *messages[:place], *tails, *messages[place:]]

    def _to_config(self) -> BotWireChatCompletionContextConfig:
        view = None if self._view is None else self._view.dump_component()
        return self._config.model_copy(update={"view": view}).shareable()

    @classmethod
    def _from_config(cls, config: BotWireChatCompletionContextConfig) -> Self:
        view = config.view and ChatCompletionContext.load_component(config.view)
        given = options(config)
        given["view"] = view
        return cls(**given)


def _dumped(messages: list[LLMMessage]) -> list[dict[str, Any]]:
    return [message.model_dump() for message in messages]


async def _through(view: ChatCompletionContext, whole: list[LLMMessage]) -> list[LLMMessage]:
    await view.clear()
    for message in whole:
        await view.add_message(message)
    return trimmed(whole, await view.get_messages())
