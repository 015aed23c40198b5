"""`BotWireChatMessageWriter`: adds messages to a stored conversation."""

from typing import Any

from haystack import component
from haystack.dataclasses import ChatMessage

from haystack_integrations.chat_message_stores.botwire import BotWireChatMessageStore
from haystack_integrations.common.botwire import Owner

__all__ = ["BotWireChatMessageWriter"]


@component
class BotWireChatMessageWriter(Owner):
    """Saves messages; those that are stored already are not saved twice.

    Connect the prompt and the replies both to `messages`: Haystack joins them in the order in which
    they come. The result of an Agent, with the retrieved history in it, may be connected as it is.

    >>> store = BotWireChatMessageStore(url="memory://")
    >>> BotWireChatMessageWriter(store).run("ada-8", [ChatMessage.from_user("hello")])
    {'messages_written': 1}
    """

    def __init__(self, chat_message_store: BotWireChatMessageStore) -> None:
        self.chat_message_store = chat_message_store

    def _store(self) -> BotWireChatMessageStore:
        return self.chat_message_store

    def _parameters(self) -> dict[str, Any]:
        return {"chat_message_store": self.chat_message_store}

    @component.output_types(messages_written=int)
    def run(self, chat_history_id: str, messages: list[ChatMessage]) -> dict[str, int]:
        """Save messages and say how many were new."""
        written = self.chat_message_store.write_messages(chat_history_id, messages)
        return {"messages_written": written}

    @component.output_types(messages_written=int)
    async def run_async(self, chat_history_id: str, messages: list[ChatMessage]) -> dict[str, int]:
        """As `run`."""
        written = await self.chat_message_store.write_messages_async(chat_history_id, messages)
        return {"messages_written": written}
