"""Pipeline runs that were interrupted and can go on."""

from haystack_integrations.snapshots.botwire.store import BotWireSnapshotStore

__all__ = ["BotWireSnapshotStore"]
