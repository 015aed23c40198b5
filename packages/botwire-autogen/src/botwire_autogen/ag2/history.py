"""`BotWireStorage`: histories of AG2 streams, event by event, and turns that go on after a crash.

- An event is stored before the agent goes on, by appending to the list of its stream.
- A tool call that broke off gets a result that says so as soon as a new question follows it, for
  providers refuse a call without one. Results that did come in are kept.
"""

from collections.abc import Iterable, Sequence
from itertools import chain, repeat
from typing import Any
from uuid import UUID, uuid5

from ag2 import Agent, AgentReply, MemoryStream
from ag2.annotations import Context
from ag2.events import (
    BaseEvent,
    DrainedModelRequest,
    ModelRequest,
    ModelResponse,
    ToolCallEvent,
    ToolCallsEvent,
    ToolResult,
    ToolResultEvent,
    ToolResultsEvent,
)
from ag2.history import Storage

from botwire import AsyncMemory
from botwire_autogen.ag2.events import EventCodec
from botwire_autogen.longlist import LongList

__all__ = ["BotWireStorage", "finish_turn", "stream_id"]

INTERRUPTED = (
    "No result: the process ended before this call answered. It may or may not have taken effect."
)
STREAMS_KNOWN = 16  # histories whose events are kept as they were made, for the next reading
_STREAMS = UUID("6f9619ff-8b86-4d01-b42d-00cf4fc964ff")  # any fixed one; ids must never change


def stream_id(name: str) -> UUID:
    """The id of the stream with this name; AG2 takes UUIDs only.

    >>> stream_id("chat-1") == stream_id("chat-1")
    True
    """
    return uuid5(_STREAMS, name)


class BotWireStorage(Storage):
    """The history of every stream that is made with it.

    Args:
        memory: a namespace, or the memory to use.
        ttl: seconds after its last event a history is forgotten; `sliding`: or after its last
            reading.
        allow: classes of your own that may be made from stored events (see `events.py`).

    >>> storage = BotWireStorage("ada")
    >>> stream = storage.stream("chat-1")  # for agent.ask(..., stream=stream), in any process
    """

    def __init__(
        self,
        memory: AsyncMemory | str,
        *,
        ttl: float | None = None,
        sliding: bool = False,
        allow: Iterable[type[Any]] = (),
    ) -> None:
        self._memory = AsyncMemory(memory) if isinstance(memory, str) else memory
        self._ttl = ttl
        self._sliding = sliding
        self._codec = EventCodec(allow)
        self._known: dict[UUID, list[tuple[Any, BaseEvent]]] = {}

    def stream(self, name: str) -> MemoryStream:
        """The stream with this name, which goes on where any process left it."""
        return MemoryStream(self, id=stream_id(name))

    async def save_event(self, event: BaseEvent, context: Context) -> None:
        await self._list(context.stream.id).append([self._codec.write(event)])

    async def get_history(self, stream_id: UUID) -> list[BaseEvent]:
        """The events so far, with a result for every tool call before a later question."""
        written, _ = await self._list(stream_id).read()
        return mended(self._events(stream_id, written))

    async def set_history(self, stream_id: UUID, events: Iterable[BaseEvent]) -> None:
        await self._list(stream_id).replace([self._codec.write(event) for event in events])

    async def drop_history(self, stream_id: UUID) -> None:
        await self._list(stream_id).delete()

    def _list(self, stream_id: UUID) -> LongList:
        return LongList(self._memory, f"history/{stream_id}", self._ttl, self._sliding)

    def _events(self, stream_id: UUID, written: list[Any]) -> list[BaseEvent]:
        """The events of these data; what was read last time is not made anew."""
        known = self._known.pop(stream_id, [])
        pairs = [
            (data, before[1] if before and before[0] == data else self._codec.read(data))
            for data, before in zip(written, chain(known, repeat(None)), strict=False)
        ]
        self._known[stream_id] = pairs  # behind the others: the oldest stands first
        while len(self._known) > STREAMS_KNOWN:
            del self._known[next(iter(self._known))]
        return [event for _, event in pairs]


class _Open:
    """The tool calls of a turn that are not settled yet, and the results that came for them."""

    def __init__(self) -> None:
        self.calls: dict[str, ToolCallEvent] = {}
        self.results: dict[str, ToolResultEvent] = {}

    def see(self, event: BaseEvent) -> None:
        if isinstance(event, ModelResponse):
            self.calls |= {call.id: call for call in event.tool_calls.calls}
        elif isinstance(event, ToolCallsEvent):
            self.calls |= {call.id: call for call in event.calls}
        elif isinstance(event, ToolResultEvent):
            self.results[event.parent_id] = event
        elif isinstance(event, ToolResultsEvent):
            for result in event.results:
                self.calls.pop(result.parent_id, None)

    @property
    def broken(self) -> bool:
        """Whether a call has no result at all. (A tool that ends the turn leaves a loose one.)"""
        return any(name not in self.results for name in self.calls)

    def settled(self) -> ToolResultsEvent:
        """Results for all of them: those that came, and stand-ins."""
        return ToolResultsEvent(
            [self.results.get(name) or _interrupted(call) for name, call in self.calls.items()]
        )


def _interrupted(call: ToolCallEvent) -> ToolResultEvent:
    return ToolResultEvent(parent_id=call.id, name=call.name, result=ToolResult(INTERRUPTED))


def mended(events: Sequence[BaseEvent]) -> list[BaseEvent]:
    """The events with results for the calls that broke off before a later question."""
    whole: list[BaseEvent] = []
    waiting = _Open()
    for event in events:
        if isinstance(event, ModelRequest) and not isinstance(event, DrainedModelRequest):
            if waiting.broken:
                whole.append(waiting.settled())
            waiting = _Open()
        waiting.see(event)
        whole.append(event)
    return whole


async def finish_turn(
    agent: Agent[Any], storage: Storage, stream: UUID, **options: Any
) -> AgentReply[Any, Any] | None:
    """Go on with a turn that broke off, without a new question; None if none did.

    Tool calls whose results are stored are not made again; those without get a result that says
    so. The rest of the history stays as it is.

    Args:
        stream: the id of the stream, such as `stream_id("chat-1")`.
        options: as for `agent.resume`: `tools`, `variables`, `dependencies`...
    """
    events = list(await storage.get_history(stream))
    trigger = _where_it_broke_off(events)
    if trigger is None:
        return None
    stored = any(event is trigger for event in events)
    rest = [event for event in events if event is not trigger]
    going_on = MemoryStream(_GoingOn(storage, trigger if stored else None), id=stream)
    return await agent.resume(*rest, trigger, stream=going_on, **options)


def _where_it_broke_off(events: Sequence[BaseEvent]) -> BaseEvent | None:
    """The event that makes the agent go on: the last question or results, or those still due."""
    last, waiting = None, _Open()
    for event in events:
        waiting.see(event)
        if isinstance(event, (ModelRequest, ModelResponse, ToolResultsEvent)):
            last = event
    if not isinstance(last, ModelResponse):
        return last
    return waiting.settled() if last.tool_calls.calls and waiting.calls else None


class _GoingOn(Storage):
    """A storage for `agent.resume`, which would write the history anew: it is there already.

    The first `set_history` and the saving of a trigger that is stored are left out, so that a
    second crash in between loses nothing.
    """

    def __init__(self, storage: Storage, trigger: BaseEvent | None) -> None:
        self._storage = storage
        self._trigger = trigger
        self._seeded = False
        self.get_history = storage.get_history
        self.drop_history = storage.drop_history

    async def save_event(self, event: BaseEvent, context: Context) -> None:
        if event is not self._trigger:
            await self._storage.save_event(event, context)

    async def set_history(self, stream_id: UUID, events: Iterable[BaseEvent]) -> None:
        if self._seeded:
            await self._storage.set_history(stream_id, events)
        self._seeded = True
