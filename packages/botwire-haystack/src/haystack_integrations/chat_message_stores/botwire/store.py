"""`BotWireChatMessageStore`: what users call; conversation.py says how a conversation is kept."""

from collections.abc import Iterable
from typing import Any

from haystack.dataclasses import ChatMessage, ChatRole
from haystack.utils import Secret

from botwire import Entry
from haystack_integrations.chat_message_stores.botwire.conversation import PREFIX, Conversation
from haystack_integrations.common.botwire import API_KEY, Backed, Flow, unsegment

__all__ = ["BotWireChatMessageStore"]


class BotWireChatMessageStore(Backed):
    """Chat histories that outlive the process, with the method names of Haystack's former stores.

    Args:
        namespace, url, api_key, timeout: where; see `Backed`.
        skip_system_messages: leave system messages out when writing.
        last_k: how many rounds are retrieved where the call does not say; None: all.
        ttl: seconds a conversation lives after it was last written; None: for ever.
        sliding: retrieving starts the ttl anew, too.

    >>> store = BotWireChatMessageStore(url="memory://")
    >>> store.write_messages("ada-1", [ChatMessage.from_user("I drink tea")])
    1
    >>> store.retrieve_messages("ada-1")[0].text
    'I drink tea'
    """

    def __init__(
        self,
        namespace: str = "haystack",
        *,
        url: str | None = None,
        api_key: Secret | None = API_KEY,
        timeout: float = 30.0,
        skip_system_messages: bool = False,
        last_k: int | None = None,
        ttl: float | None = None,
        sliding: bool = False,
    ) -> None:
        super().__init__(namespace, url=url, api_key=api_key, timeout=timeout)
        self.skip_system_messages = skip_system_messages
        self.last_k = _rounds(last_k)
        self.ttl = ttl
        self.sliding = sliding

    def _parameters(self) -> dict[str, Any]:
        return {
            "skip_system_messages": self.skip_system_messages,
            "last_k": self.last_k,
            "ttl": self.ttl,
            "sliding": self.sliding,
        }

    # -- what users call -------------------------------------------------------------------------

    def write_messages(
        self,
        chat_history_id: str,
        messages: Iterable[ChatMessage],
        *,
        if_version: int | None = None,
    ) -> int:
        """Add messages to a conversation and return how many were written.

        Messages that are stored already (by their `meta["chat_message_id"]`) are not written again,
        so writing what was retrieved changes nothing.

        Args:
            if_version: write only if the conversation is at this `version` (0: it is new).

        Raises:
            ValueError: not all are messages, or two different ones carry the same id.
            Conflict: the conversation is at another version.
            InvalidValue: a message holds something that has no JSON form; nothing was written.
        """
        return self.drive(self.writing(chat_history_id, messages, if_version))

    async def write_messages_async(
        self,
        chat_history_id: str,
        messages: Iterable[ChatMessage],
        *,
        if_version: int | None = None,
    ) -> int:
        """As `write_messages`."""
        return await self.drive_async(self.writing(chat_history_id, messages, if_version))

    def retrieve_messages(
        self, chat_history_id: str, last_k: int | None = None
    ) -> list[ChatMessage]:
        """The newest `last_k` rounds of a conversation, oldest message first.

        A round is a user's message and everything up to the next one; tool calls and their results
        are never split. 0 gives no messages; None gives what the store was made with.
        """
        return self.drive(self.reading(chat_history_id, last_k))

    async def retrieve_messages_async(
        self, chat_history_id: str, last_k: int | None = None
    ) -> list[ChatMessage]:
        """As `retrieve_messages`."""
        return await self.drive_async(self.reading(chat_history_id, last_k))

    def count_messages(self, chat_history_id: str) -> int:
        """How many messages a conversation holds."""
        return len(self.drive(self.conversation(chat_history_id).everything()))

    async def count_messages_async(self, chat_history_id: str) -> int:
        """As `count_messages`."""
        return len(await self.drive_async(self.conversation(chat_history_id).everything()))

    def version(self, chat_history_id: str) -> int:
        """The version of a conversation, which rises with every change; 0 if it does not exist."""
        return _version(self.memory.run(self.conversation(chat_history_id).head()))

    async def version_async(self, chat_history_id: str) -> int:
        """As `version`."""
        return _version(await self.async_memory.run(self.conversation(chat_history_id).head()))

    def chat_history_ids(self) -> list[str]:
        """All conversations, in order of their ids."""
        return _ids(self.memory.list_keys(PREFIX))

    async def chat_history_ids_async(self) -> list[str]:
        """As `chat_history_ids`."""
        return _ids(await self.async_memory.list_keys(PREFIX))

    def delete_messages(self, chat_history_id: str) -> None:
        """Delete a conversation."""
        self.memory.run(self.conversation(chat_history_id).deletion())

    async def delete_messages_async(self, chat_history_id: str) -> None:
        """As `delete_messages`."""
        await self.async_memory.run(self.conversation(chat_history_id).deletion())

    def delete_all_messages(self) -> None:
        """Delete all conversations of the namespace, in one step."""
        self.memory.clear(PREFIX)

    async def delete_all_messages_async(self) -> None:
        """As `delete_all_messages`."""
        await self.async_memory.clear(PREFIX)

    # -- what hooks build on ---------------------------------------------------------------------

    def conversation(self, chat_history_id: str) -> Conversation:
        """One conversation as flows of operations, for `drive` and `drive_async`."""
        return Conversation(self.namespace, chat_history_id, self.ttl, self.sliding)

    def reading(self, chat_history_id: str, last_k: int | None) -> Flow[list[ChatMessage]]:
        """`retrieve_messages` as a flow."""
        rounds = self.last_k if last_k is None else _rounds(last_k)
        return self.conversation(chat_history_id).reading(rounds)

    def writing(
        self, chat_history_id: str, messages: Iterable[ChatMessage], if_version: int | None = None
    ) -> Flow[int]:
        """`write_messages` as a flow."""
        given = self.storable(messages)
        return self.conversation(chat_history_id).writing(given, if_version)

    def storable(self, messages: Iterable[ChatMessage]) -> list[ChatMessage]:
        """Those of the messages that this store keeps.

        Raises:
            ValueError: something in it is not a message.
        """
        given = list(messages)
        for message in given:
            if not isinstance(message, ChatMessage):  # pyright: ignore[reportUnnecessaryIsInstance]  users may pass anything
                kind = type(message).__name__
                raise ValueError(f"messages must be ChatMessage objects, not {kind}")
        if not self.skip_system_messages:
            return given
        return [message for message in given if not message.is_from(ChatRole.SYSTEM)]


def _rounds(last_k: int | None) -> int | None:
    if last_k is not None and last_k < 0:
        raise ValueError(f"last_k must be 0 or greater, not {last_k}")
    return last_k


def _version(entry: Entry | None) -> int:
    return entry.version if entry else 0


def _ids(keys: Iterable[str]) -> list[str]:
    names = (key.removeprefix(PREFIX) for key in keys)
    return [unsegment(name) for name in names if "/" not in name]
