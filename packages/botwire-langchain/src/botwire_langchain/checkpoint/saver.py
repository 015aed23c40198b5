"""`BotWireSaver`: LangGraph's checkpointer, blocking and asynchronous in one class.

Every method drives a flow of `threads.py` or `upkeep.py`; what is kept where stands in `layout.py`.
"""

import copy
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from typing import Any, Self

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    DeltaChannelHistory,
    get_serializable_checkpoint_metadata,
)
from langgraph.checkpoint.serde.base import SerializerProtocol

from botwire import AsyncMemory, Memory
from botwire.errors import InvalidRequest
from botwire_langchain.checkpoint.codec import Codec, strict_serializer
from botwire_langchain.checkpoint.guard import Guard
from botwire_langchain.checkpoint.heads import Heads
from botwire_langchain.checkpoint.threads import Threads
from botwire_langchain.checkpoint.together import AWAITED, BLOCKING, Pace
from botwire_langchain.checkpoint.upkeep import (
    copy_thread,
    delete_for_runs,
    delete_thread,
    prune_thread,
)
from botwire_langchain.checkpoint.versions import next_version
from botwire_langchain.faces import Faces, Flow

__all__ = ["BotWireSaver"]

CHUNK = 20  # checkpoints that are listed at once
STRATEGIES = ("keep_latest", "delete")


class BotWireSaver(BaseCheckpointSaver[str]):
    """Keeps LangGraph's threads: `graph.compile(checkpointer=BotWireSaver())`.

    One object serves `invoke` and `ainvoke`, threads and any number of event loops. Reading a
    thread's newest checkpoint and saving one cost the same however long the thread is.

    Args:
        namespace: where the threads are kept.
        url: `sqlite:///memory.db` or a server; without it BOTWIRE_URL, then the hosted service.
        api_key: for servers that want one; without it BOTWIRE_API_KEY.
        memory: a Memory or AsyncMemory to use instead of the three above.
        ttl: seconds a thread lives after it was last written to; it then is gone as a whole.
        refresh_on_read: reading a thread starts its ttl anew, too.
        allow: classes of your own that may stand in a state. Checkpoints name classes, and only
            LangChain's, LangGraph's, plain ones and these are built when one is read.
        serde: another serializer, such as LangGraph's EncryptedSerializer; `allow` is then its own.

    >>> saver = BotWireSaver(url="memory://", ttl=30 * 86400)
    >>> saver.get_tuple({"configurable": {"thread_id": "alice"}}) is None
    True
    """

    def __init__(
        self,
        *,
        namespace: str = "checkpoints",
        url: str | None = None,
        api_key: str | None = None,
        memory: Memory | AsyncMemory | None = None,
        ttl: float | None = None,
        refresh_on_read: bool = False,
        allow: Iterable[type | tuple[str, str]] = (),
        serde: SerializerProtocol | None = None,
    ) -> None:
        if serde is not None and allow:
            raise InvalidRequest(
                "allow= is for the serializer that comes with BotWireSaver",
                hint="Tell yours: JsonPlusSerializer(allowed_msgpack_modules=[...]).",
            )
        super().__init__(serde=serde or strict_serializer(allow))
        self._faces = Faces(memory, namespace, url, api_key)
        self._guard = Guard(self._faces.namespace, ttl, refresh_on_read)
        self._heads = Heads()

    @property
    def _threads(self) -> Threads:
        return Threads(self._faces.namespace, Codec(self.serde), self._guard, self._heads)

    # -- reading ---------------------------------------------------------------------------------

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """The checkpoint that the config names, or the newest of its thread and namespace."""
        return self._faces.drive(self._threads.get(config))

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        return await self._faces.adrive(self._threads.get(config))

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        """Checkpoints, newest first: of a thread, one of its namespaces, or (None) of all threads.

        `filter` compares members of the metadata for equality; one that is missing counts as None.
        """
        threads = self._threads
        found = self._faces.drive(threads.listed(config, filter, before, limit))
        for start in range(0, len(found), CHUNK):
            yield from self._faces.drive(threads.tuples(found[start : start + CHUNK]))

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        threads = self._threads
        found = await self._faces.adrive(threads.listed(config, filter, before, limit))
        for start in range(0, len(found), CHUNK):
            chunk = found[start : start + CHUNK]
            for checkpoint in await self._faces.adrive(threads.tuples(chunk)):
                yield checkpoint

    def get_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """The writes since the last stored value of each channel; one round trip."""
        if not channels:
            return {}
        return self._faces.drive(self._threads.history(config, channels))

    async def aget_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        if not channels:
            return {}
        return await self._faces.adrive(self._threads.history(config, channels))

    # -- writing ---------------------------------------------------------------------------------

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Save a checkpoint; one round trip, for what changed.

        Raises:
            StaleWriteOwner: this writer claimed the thread, and another one did since.
        """
        flow = self._put(config, checkpoint, metadata, new_versions, BLOCKING)
        return self._faces.drive(flow)

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        flow = self._put(config, checkpoint, metadata, new_versions, AWAITED)
        return await self._faces.adrive(flow)

    def _put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
        pace: Pace,
    ) -> Flow[RunnableConfig]:
        kept = get_serializable_checkpoint_metadata(config, metadata)
        return self._threads.put(config, checkpoint, kept, new_versions, pace)

    def put_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        """Save what a task wrote. Saving it again changes nothing.

        It takes one round trip at the most: calls that come while another one for the thread is
        under way share the next, or that of the checkpoint, for which it waits a millisecond.
        """
        flow = self._threads.put_writes(config, writes, task_id, task_path, BLOCKING)
        self._faces.drive(flow)

    async def aput_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        flow = self._threads.put_writes(config, writes, task_id, task_path, AWAITED)
        await self._faces.adrive(flow)

    # -- removing and copying --------------------------------------------------------------------

    def delete_thread(self, thread_id: str) -> None:
        """Forget a thread."""
        self._faces.drive(delete_thread(self._faces.namespace, str(thread_id)))

    async def adelete_thread(self, thread_id: str) -> None:
        await self._faces.adrive(delete_thread(self._faces.namespace, str(thread_id)))

    def delete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Delete the checkpoints, with their writes, that these runs made."""
        self._faces.drive(delete_for_runs(self._faces.namespace, run_ids))

    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        await self._faces.adrive(delete_for_runs(self._faces.namespace, run_ids))

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Copy all checkpoints and writes of a thread."""
        self._faces.drive(self._copy(source_thread_id, target_thread_id))

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        await self._faces.adrive(self._copy(source_thread_id, target_thread_id))

    def _copy(self, source: object, target: object) -> Flow[None]:
        return copy_thread(self._faces.namespace, str(source), str(target), self._guard)

    def prune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Delete old checkpoints, or ("delete") all.

        Of each namespace the newest checkpoint stays, and where it has delta channels the ancestors
        that their values are made from.
        """
        for flow in self._prunings(thread_ids, strategy):
            self._faces.drive(flow)

    async def aprune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        for flow in self._prunings(thread_ids, strategy):
            await self._faces.adrive(flow)

    def _prunings(self, thread_ids: Sequence[str], strategy: str) -> Iterable[Flow[None]]:
        if isinstance(thread_ids, str):
            raise TypeError("thread_ids must be a sequence of thread ids, not one text")
        if strategy not in STRATEGIES:
            raise ValueError(f"there is no strategy {strategy!r}; there are: {STRATEGIES}")
        namespace, threads = self._faces.namespace, [str(thread) for thread in thread_ids]
        if strategy == "delete":
            return [delete_thread(namespace, thread) for thread in threads]
        return [prune_thread(namespace, thread, Codec(self.serde)) for thread in threads]

    # -- owning ----------------------------------------------------------------------------------

    def claim_write_ownership(self, thread_id: str) -> Self:
        """This saver as the owner of a thread: only what it writes to the thread is accepted now.

        A writer that owned the thread before gets StaleWriteOwner for its next write, and what it
        wanted to write is not kept. Savers that claimed nothing are not held back.
        """
        return self._owning(self._faces.drive(self._guard.claim(str(thread_id))))

    async def aclaim_write_ownership(self, thread_id: str) -> Self:
        return self._owning(await self._faces.adrive(self._guard.claim(str(thread_id))))

    def check_write_ownership(self) -> None:
        """Raise StaleWriteOwner if one of the threads that were claimed here has another owner."""
        for thread in self._guard.claims:
            self._faces.drive(self._guard.check(thread))

    async def acheck_write_ownership(self) -> None:
        for thread in self._guard.claims:
            await self._faces.adrive(self._guard.check(thread))

    def _owning(self, guard: Guard) -> Self:
        owner = copy.copy(self)
        owner._guard = guard  # of this same class
        return owner

    # -- the rest --------------------------------------------------------------------------------

    def get_next_version(self, current: Any, channel: None) -> str:
        """A version that sorts behind `current` and that no fork of the thread will ever give."""
        return next_version(current)

    def close(self) -> None:
        """Give the connection back."""
        self._faces.close()

    async def aclose(self) -> None:
        await self._faces.aclose()
