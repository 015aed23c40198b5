"""`BotWireChatMessageRetriever`: puts a stored conversation before the current messages."""

from typing import Any

from haystack import component
from haystack.dataclasses import ChatMessage, ChatRole

from haystack_integrations.chat_message_stores.botwire import BotWireChatMessageStore
from haystack_integrations.common.botwire import Owner

__all__ = ["BotWireChatMessageRetriever", "continued"]


def continued(history: list[ChatMessage], current: list[ChatMessage]) -> list[ChatMessage]:
    """Current system messages, then the history, then the other current messages.

    Current system messages stand for those of the history; providers want them in front only.
    """
    system = [message for message in current if message.is_from(ChatRole.SYSTEM)]
    others = [message for message in current if not message.is_from(ChatRole.SYSTEM)]
    if system:
        history = [message for message in history if not message.is_from(ChatRole.SYSTEM)]
    return system + history + others


@component
class BotWireChatMessageRetriever(Owner):
    """Loads a conversation, ready for a chat generator.

    Args:
        chat_message_store: where conversations are kept.
        last_k: how many rounds to load; 0: none; None: what the store says.

    >>> store = BotWireChatMessageStore(url="memory://")
    >>> retriever = BotWireChatMessageRetriever(store, last_k=5)
    >>> question = ChatMessage.from_user("And now?")
    >>> out = retriever.run("ada-7", current_messages=[question])
    >>> [message.text for message in out["messages"]]
    ['And now?']
    """

    def __init__(
        self, chat_message_store: BotWireChatMessageStore, last_k: int | None = None
    ) -> None:
        if last_k is not None and last_k < 0:
            raise ValueError(f"last_k must be 0 or greater, not {last_k}")
        self.chat_message_store = chat_message_store
        self.last_k = last_k

    def _store(self) -> BotWireChatMessageStore:
        return self.chat_message_store

    def _parameters(self) -> dict[str, Any]:
        return {"chat_message_store": self.chat_message_store, "last_k": self.last_k}

    def _rounds(self, last_k: int | None) -> int | None:
        return self.last_k if last_k is None else last_k

    @component.output_types(messages=list[ChatMessage])
    def run(
        self,
        chat_history_id: str | None,
        *,
        last_k: int | None = None,
        current_messages: list[ChatMessage] | None = None,
    ) -> dict[str, list[ChatMessage]]:
        """Load a conversation.

        Args:
            chat_history_id: which one; None loads nothing.
            last_k: how many rounds, instead of the component's.
            current_messages: what is asked now; system messages of it go to the front.
        """
        history: list[ChatMessage] = []
        if chat_history_id is not None:
            rounds = self._rounds(last_k)
            history = self.chat_message_store.retrieve_messages(chat_history_id, rounds)
        return {"messages": continued(history, current_messages or [])}

    @component.output_types(messages=list[ChatMessage])
    async def run_async(
        self,
        chat_history_id: str | None,
        *,
        last_k: int | None = None,
        current_messages: list[ChatMessage] | None = None,
    ) -> dict[str, list[ChatMessage]]:
        """As `run`."""
        history: list[ChatMessage] = []
        if chat_history_id is not None:
            store, rounds = self.chat_message_store, self._rounds(last_k)
            history = await store.retrieve_messages_async(chat_history_id, rounds)
        return {"messages": continued(history, current_messages or [])}
