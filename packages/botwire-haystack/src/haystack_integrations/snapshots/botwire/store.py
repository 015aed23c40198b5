"""`BotWireSnapshotStore`: keeps the snapshots of interrupted pipeline runs.

Haystack calls it at a breakpoint and when a component raises, in `Pipeline.run` only; there are no
snapshots in `run_async`. The id it returns stands in the exception's `pipeline_snapshot_file_path`.
"""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

from haystack.dataclasses.breakpoints import PipelineSnapshot
from haystack.utils import Secret

from botwire.errors import NotFound
from botwire.operations import Set
from haystack_integrations.common.botwire import API_KEY, Backed, as_json

__all__ = ["BotWireSnapshotStore"]

PREFIX = "snapshots/"


class BotWireSnapshotStore(Backed):
    """Give it to `Pipeline.run` as `snapshot_callback`; go on with `pipeline_snapshot=load(id)`.

    Args:
        namespace, url, api_key, timeout: where; see `Backed`.
        ttl: seconds a snapshot is kept; None: for ever.

    Example:
        snapshots = BotWireSnapshotStore("jobs", url="sqlite:///memory.db")
        pipeline.run(data, snapshot_callback=snapshots.under("job-7"))   # a component fails here
        pipeline.run({}, pipeline_snapshot=snapshots.load("job-7"))      # another process goes on
    """

    def __init__(
        self,
        namespace: str = "haystack",
        *,
        url: str | None = None,
        api_key: Secret | None = API_KEY,
        timeout: float = 30.0,
        ttl: float | None = None,
    ) -> None:
        super().__init__(namespace, url=url, api_key=api_key, timeout=timeout)
        self.ttl = ttl

    def _parameters(self) -> dict[str, Any]:
        return {"ttl": self.ttl}

    def __call__(self, snapshot: PipelineSnapshot) -> str:
        """Keep a snapshot and return its new id, which names the component it stopped at."""
        return self.save(f"{snapshot.break_point.component_name}-{uuid4().hex[:12]}", snapshot)

    def under(self, snapshot_id: str) -> Callable[[PipelineSnapshot], str]:
        """A callback that keeps the latest snapshot under an id that is known beforehand."""
        return lambda snapshot: self.save(snapshot_id, snapshot)

    def save(self, snapshot_id: str, snapshot: PipelineSnapshot) -> str:
        """Keep a snapshot under an id, in place of an earlier one, and return the id."""
        text = as_json(snapshot.to_dict())
        self.memory.run(Set(self.namespace, PREFIX + snapshot_id, text, self.ttl))
        return snapshot_id

    def load(self, snapshot_id: str) -> PipelineSnapshot:
        """The snapshot that was kept under this id.

        Raises:
            NotFound: there is none (any more).
        """
        data = self.memory.get(PREFIX + snapshot_id)
        if data is None:
            raise NotFound(f"there is no snapshot {snapshot_id!r}", key=snapshot_id)
        return PipelineSnapshot.from_dict(data)  # pyright: ignore[reportUnknownMemberType]  a bare dict there

    def ids(self) -> list[str]:
        """The ids of all snapshots, the newest first."""
        entries = list(self.memory.entries(PREFIX, values=False))
        entries.sort(key=lambda entry: entry.version, reverse=True)
        return [entry.key.removeprefix(PREFIX) for entry in entries]

    def delete(self, snapshot_id: str) -> bool:
        """Forget a snapshot; True if it was there."""
        return self.memory.delete(PREFIX + snapshot_id)
