"""`BotWireChatHistory`: the messages of one conversation, as one list that only grows at its end.

- Adding appends on the server, so no writer loses another's messages and the cost of a turn does
  not depend on how long the conversation is.
- Trimming happens when messages are added, never when they are read: callers read twice in a run
  and must find the same.
- A message is stored as `message_to_dict` gives it; reading never imports anything by name.
"""

from collections.abc import Sequence
from typing import Any

from langchain_core.chat_history import BaseChatMessageHistory
from langchain_core.messages import BaseMessage

from botwire import AsyncMemory, Memory
from botwire.operations import MISSING, Append, Delete, Get
from botwire.runners import default_url
from botwire_langchain.faces import Faces, shared_faces
from botwire_langchain.messages import message_text, read_messages
from botwire_langchain.names import part

__all__ = ["BotWireChatHistory"]

MAX_KEY = 512


class BotWireChatHistory(BaseChatMessageHistory):
    """The messages of one session, kept across restarts.

    Building one touches nothing, so it may be built anew for every call; all of them share a
    connection. Every field of every message class comes back, ids, tool calls, usage and artifacts
    included.

    Args:
        session_id: any text; other values are turned into text.
        namespace: where the sessions are kept.
        url: `sqlite:///memory.db` or a server; without it BOTWIRE_URL, then the hosted service.
        api_key: for servers that want one; without it BOTWIRE_API_KEY.
        memory: a Memory or AsyncMemory to use instead of the three above.
        ttl: seconds a session lives after its last message.
        max_messages: how many messages are kept; older ones go when new ones are added.

    >>> history = BotWireChatHistory("alice", url="memory://")
    >>> history.add_user_message("My name is Alice.")
    >>> [message.content for message in history.messages]
    ['My name is Alice.']
    """

    def __init__(
        self,
        session_id: object,
        *,
        namespace: str = "chat-history",
        url: str | None = None,
        api_key: str | None = None,
        memory: Memory | AsyncMemory | None = None,
        ttl: float | None = None,
        max_messages: int | None = None,
    ) -> None:
        self.session_id = str(session_id)
        self.ttl = ttl
        self.max_messages = max_messages
        if memory is None:
            self._faces = shared_faces(namespace, url or default_url(), api_key)
        else:
            self._faces = Faces(memory, namespace)
        # An empty text is no key; the part of a text never starts with "~e".
        self._key = part(self.session_id, MAX_KEY) or "~empty"
        self._append([])  # refuses a ttl or a number of messages that cannot be, here

    @property
    def messages(self) -> list[BaseMessage]:  # type: ignore[override]  # the base class says: or an attribute
        """All messages kept, oldest first; one round trip."""
        return _read(self._faces.sync.run(self._get()))

    async def aget_messages(self) -> list[BaseMessage]:
        return _read(await self._faces.awaited.run(self._get()))

    def add_messages(self, messages: Sequence[BaseMessage]) -> None:
        """Add messages at the end, all at one moment; one round trip however many.

        Raises:
            InvalidRequest: a message of a class that could not be read back.
            InvalidValue: a field holds an object that is not data.
        """
        if messages:
            self._faces.sync.run(self._append(messages))

    async def aadd_messages(self, messages: Sequence[BaseMessage]) -> None:
        if messages:
            await self._faces.awaited.run(self._append(messages))

    def clear(self) -> None:
        """Forget the session."""
        self._faces.sync.run(self._delete())

    async def aclear(self) -> None:
        await self._faces.awaited.run(self._delete())

    def _get(self) -> Get:
        return Get(self._faces.namespace, self._key)

    def _append(self, messages: Sequence[BaseMessage]) -> Append:
        records = tuple(map(message_text, messages))
        return Append(self._faces.namespace, self._key, records, self.max_messages, self.ttl)

    def _delete(self) -> Delete:
        return Delete(self._faces.namespace, self._key)


def _read(records: Any) -> list[BaseMessage]:
    return [] if records is MISSING else read_messages(records)
