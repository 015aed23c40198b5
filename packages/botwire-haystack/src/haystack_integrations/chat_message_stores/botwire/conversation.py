"""One conversation as the store keeps it; every method is a flow of operations, or one operation.

- The messages are the list at `chat/<id>`: the server puts concurrent writers in order, what one
  call writes stays together, and adding costs one append, whatever the length.
- Every stored message has an id in `meta["chat_message_id"]`: its author's or a new one. A message
  whose id is stored is not written again; compare-and-set keeps that true among several writers.
- A list that reaches the size limit of one value moves to `chat/<id>/<version>` as it is, in the
  same step that begins the next one. Nothing is ever cut off.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from haystack.dataclasses import ChatMessage

from botwire import Conflict, Entry, Page
from botwire.errors import TooLarge
from botwire.jsontext import Json, encode, write
from botwire.operations import (
    MISSING,
    Append,
    Batch,
    Clear,
    Delete,
    Expire,
    Get,
    Head,
    Operation,
    Read,
    Scan,
    Set,
    Tail,
)
from haystack_integrations.chat_message_stores.botwire.rounds import last_rounds, reaches_back
from haystack_integrations.common.botwire import (
    MESSAGE_ID,
    Flow,
    identified,
    message_id,
    message_json,
    message_of,
    segment,
)

__all__ = ["PREFIX", "Conversation"]

PREFIX = "chat/"
AT_ONCE = 16  # messages read beyond what is expected to be enough
MOST = 2**40  # messages; more than any conversation has

Item = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Conversation:
    namespace: str
    id: str
    ttl: float | None = None
    sliding: bool = False

    @property
    def key(self) -> str:
        return PREFIX + segment(self.id)

    def head(self) -> Operation:
        return Head(self.namespace, self.key)

    def deletion(self) -> Operation:
        parts = (Delete(self.namespace, self.key), Clear(self.namespace, f"{self.key}/"))
        return Batch(self.namespace, parts)

    # -- reading -------------------------------------------------------------------------------

    def reading(self, last_k: int | None) -> Flow[list[ChatMessage]]:
        """The newest rounds, read from the end until they are complete; all without `last_k`."""
        if last_k is None:
            return [message_of(item) for item in (yield from self.everything())]
        count = min(8 * last_k + AT_ONCE, MOST) if last_k else 0
        while count:
            items, older, _ = yield from self._newest(count)
            messages = [message_of(item) for item in items]
            if not (older or len(items) == count) or not reaches_back(messages, last_k):
                return last_rounds(messages, last_k)
            if len(items) < count:
                messages = [message_of(item) for item in (yield from self.everything())]
                return last_rounds(messages, last_k)
            count *= 4
        return []

    def everything(self) -> Flow[list[Item]]:
        """All messages as stored. Lists that move while pages are read appear once."""
        scan: Scan | None = Scan(self.namespace, f"{self.key}/")
        parts = (scan, Get(self.namespace, self.key))
        page, newest = yield Batch(self.namespace, parts)
        items = _listed(page)
        while (scan := scan.after_cursor(page.cursor)) is not None:
            page = yield scan
            items += _listed(page)
        items += [] if newest is MISSING else newest
        return list({_id(item) or index: item for index, item in enumerate(items)}.values())

    def _newest(self, count: int) -> Flow[tuple[list[Item], bool, int]]:
        """(newest messages, whether there are older lists, version), all at one moment."""
        parts = (
            Tail(self.namespace, self.key, count),
            Scan(self.namespace, f"{self.key}/", limit=1, values=False),
            Head(self.namespace, self.key),
        )
        items, older, head = yield Batch(self.namespace, parts)
        return items, bool(older.entries), head.version if head else 0

    # -- writing -------------------------------------------------------------------------------

    def writing(self, messages: Iterable[ChatMessage], if_version: int | None = None) -> Flow[int]:
        """Add those messages that are not stored yet; how many they were."""
        given = list(messages)
        fresh = _distinct([identified(message) for message in given])
        known = {str(id_) for message in given if (id_ := message_id(message)) is not None}
        if not known:
            yield from self.adding(fresh.values(), if_version)
            return len(fresh)
        while True:
            stored, version = yield from self._stored(known)
            new = [text for id_, text in fresh.items() if id_ not in stored]
            if not new:
                return 0
            try:
                yield from self.adding(new, version if if_version is None else if_version)
                return len(new)
            except Conflict:
                if if_version is not None:
                    raise

    def _stored(self, ids: set[str]) -> Flow[tuple[set[str], int]]:
        """(which of these ids are stored, at which version), looking from the end backwards."""
        count = 2 * len(ids) + AT_ONCE
        while True:
            items, older, version = yield from self._newest(count)
            found = ids & _ids(items)
            if found == ids or (len(items) < count and not older):
                return found, version
            if len(items) < count:
                found |= ids & _ids((yield from self.everything()))
                return found, version
            count *= 8

    def adding(self, texts: Iterable[Json], if_version: int | None = None) -> Flow[None]:
        """Add messages (as JSON text, with ids) that are known to be new."""
        new = tuple(texts)
        while new:
            try:
                yield self._append(new, if_version)
                return
            except TooLarge:
                full: Entry | None = yield Read(self.namespace, self.key)
                if full is None or not full.value:
                    raise
            try:
                yield self._turn_over(full, new)
                return
            except Conflict:
                continue  # another writer was faster; there is room now

    def _append(self, new: tuple[Json, ...], if_version: int | None) -> Operation:
        append = Append(self.namespace, self.key, new, None, self.ttl, self.sliding, if_version)
        return Batch(self.namespace, (append, *self._renewal())) if self.ttl else append

    def _turn_over(self, full: Entry, new: Sequence[Json]) -> Operation:
        space, older = self.namespace, f"{self.key}/{full.version:020}"
        parts = (
            Set(space, older, encode(full.value), self.ttl, self.sliding),
            Set(space, self.key, Json(write(new)), self.ttl, self.sliding, full.version),
            *self._renewal(),
        )
        return Batch(space, parts)

    def _renewal(self) -> tuple[Operation, ...]:
        """Older lists live as long as the newest."""
        return (Expire(self.namespace, f"{self.key}/", self.ttl),) if self.ttl else ()


def _distinct(messages: Sequence[ChatMessage]) -> dict[str, Json]:
    """The messages as JSON text by id, each once."""
    found: dict[str, Json] = {}
    for message in messages:
        id_, text = str(message_id(message)), message_json(message)
        if found.setdefault(id_, text) != text:
            raise ValueError(f"two different messages carry the {MESSAGE_ID} {id_!r}")
    return found


def _id(item: Item) -> str | None:
    """None for a message that another client wrote without one."""
    meta: dict[str, Any] = item.get("meta") or {}
    found = meta.get(MESSAGE_ID)
    return None if found is None else str(found)


def _ids(items: Iterable[Item]) -> set[str | None]:
    return {_id(item) for item in items}


def _listed(page: Page) -> list[Item]:
    return [item for entry in page.entries for item in entry.value]
