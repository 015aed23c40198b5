"""`BotWireRecordManager`: which documents were indexed and when, for `langchain_core.indexing`."""

from collections.abc import Sequence

from langchain_core.indexing import RecordManager

from botwire import AsyncMemory, Memory
from botwire.jsontext import encode
from botwire.operations import Batch, DeleteMany, Entry, GetMany, Head, Scan, Set
from botwire_langchain.faces import Faces, Flow

__all__ = ["BotWireRecordManager"]

CLOCK = "clock"  # written to learn the time of the server, which is the only one that counts
RECORDS = "k/"


class BotWireRecordManager(RecordManager):
    """Remembers what `index()` put into a vector store. All times are the server's, and only rise.

    Args:
        namespace: names the vector store and its collection.
        url: `sqlite:///memory.db` or a server; without it BOTWIRE_URL, then the hosted service.
        api_key: for servers that want one; without it BOTWIRE_API_KEY.
        memory: a Memory or AsyncMemory to use instead; it may serve several managers.

    >>> manager = BotWireRecordManager("docs", url="memory://")
    >>> manager.update(["a", "b"], group_ids=["page 1", "page 2"])
    >>> manager.list_keys(group_ids=["page 1"])
    ['a']
    """

    def __init__(
        self,
        namespace: str,
        *,
        url: str | None = None,
        api_key: str | None = None,
        memory: Memory | AsyncMemory | None = None,
    ) -> None:
        super().__init__(namespace)
        place = f"index:{namespace}"
        given = memory.namespaced(place) if memory is not None else None
        self._faces = Faces(given, place, url, api_key)
        self._seen = 0.0  # the latest time the server is known to have reached

    def create_schema(self) -> None:
        """Nothing needs to be created."""

    async def acreate_schema(self) -> None:
        """Nothing needs to be created."""

    def get_time(self) -> float:
        """The server's time in seconds since 1970."""
        return self._faces.drive(self._time())

    async def aget_time(self) -> float:
        return await self._faces.adrive(self._time())

    def _time(self) -> Flow[float]:
        place = self._faces.namespace
        _, entry = yield Batch(place, (Set(place, CLOCK, encode(None)), Head(place, CLOCK)))
        self._seen = max(self._seen, _stamp(entry))
        return _stamp(entry)

    def update(
        self,
        keys: Sequence[str],
        *,
        group_ids: Sequence[str | None] | None = None,
        time_at_least: float | None = None,
    ) -> None:
        """Record that these were indexed now.

        Raises:
            ValueError: not as many groups as keys, or the server has not reached `time_at_least`.
        """
        self._faces.drive(self._update(keys, group_ids, time_at_least))

    async def aupdate(
        self,
        keys: Sequence[str],
        *,
        group_ids: Sequence[str | None] | None = None,
        time_at_least: float | None = None,
    ) -> None:
        await self._faces.adrive(self._update(keys, group_ids, time_at_least))

    def _update(
        self,
        keys: Sequence[str],
        group_ids: Sequence[str | None] | None,
        time_at_least: float | None,
    ) -> Flow[None]:
        if group_ids and len(keys) != len(group_ids):
            raise ValueError(f"{len(keys)} keys need as many group ids, not {len(group_ids)}")
        if time_at_least and time_at_least > self._seen:
            now = yield from self._time()
            if time_at_least > now:
                raise ValueError(f"time_at_least is {time_at_least - now:g} s in the future")
        groups = group_ids or [None] * len(keys)
        place = self._faces.namespace
        sets = [
            Set(place, RECORDS + key, encode(group))
            for key, group in zip(keys, groups, strict=True)
        ]
        if sets:
            yield Batch(place, tuple(sets))

    def exists(self, keys: Sequence[str]) -> list[bool]:
        """Which of these are recorded."""
        found = self._faces.sync.run(self._getting(keys))
        return [RECORDS + key in found for key in keys]

    async def aexists(self, keys: Sequence[str]) -> list[bool]:
        found = await self._faces.awaited.run(self._getting(keys))
        return [RECORDS + key in found for key in keys]

    def _getting(self, keys: Sequence[str]) -> GetMany:
        return GetMany(self._faces.namespace, tuple(RECORDS + key for key in keys))

    def list_keys(
        self,
        *,
        before: float | None = None,
        after: float | None = None,
        group_ids: Sequence[str] | None = None,
        limit: int | None = None,
    ) -> list[str]:
        """The keys recorded before and after these times, exclusively, in these groups."""
        return self._faces.drive(self._list(before, after, group_ids, limit))

    async def alist_keys(
        self,
        *,
        before: float | None = None,
        after: float | None = None,
        group_ids: Sequence[str] | None = None,
        limit: int | None = None,
    ) -> list[str]:
        return await self._faces.adrive(self._list(before, after, group_ids, limit))

    def _list(
        self,
        before: float | None,
        after: float | None,
        group_ids: Sequence[str] | None,
        limit: int | None,
    ) -> Flow[list[str]]:
        found: list[str] = []
        scan: Scan | None = Scan(self._faces.namespace, RECORDS)
        while scan is not None and not (limit and len(found) >= limit):
            page = yield scan
            found += [
                entry.key.removeprefix(RECORDS)
                for entry in page.entries
                if (not before or _stamp(entry) < before)
                and (not after or _stamp(entry) > after)
                and (not group_ids or entry.value in group_ids)
            ]
            scan = scan.after_cursor(page.cursor)
        return found[:limit] if limit else found

    def delete_keys(self, keys: Sequence[str]) -> None:
        """Forget these."""
        self._faces.sync.run(self._deleting(keys))

    async def adelete_keys(self, keys: Sequence[str]) -> None:
        await self._faces.awaited.run(self._deleting(keys))

    def _deleting(self, keys: Sequence[str]) -> DeleteMany:
        return DeleteMany(self._faces.namespace, tuple(RECORDS + key for key in keys))


def _stamp(entry: Entry) -> float:
    return entry.updated_at.timestamp()
