"""What this process knows of how the newest checkpoints keep their values, to build on them.

Knowing nothing is always right: the next checkpoint is then written whole. Knowing something that
is no longer so is right as well, because every write that builds on it is conditional.
"""

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from botwire_langchain.checkpoint.layout import Place
from botwire_langchain.checkpoint.values import Ref

__all__ = ["Head", "Heads"]

KEPT = 256  # threads and namespaces; a long conversation takes about 100 KB


class Head(NamedTuple):
    """A checkpoint's channels: their versions, and how their values are kept."""

    id: str
    versions: Mapping[str, Any]
    refs: Mapping[str, Ref]
    walk: int = 0  # how many checkpoints back a delta channel's value may begin

    def unchanged(self, channel: str, version: Any, parent: str | None) -> bool:
        """Whether a checkpoint with this version of the channel has the value known here."""
        if version is None or self.versions.get(channel) != version:
            return False
        # Our versions are unique. Numbers are not: two forks count on from the same one.
        return isinstance(version, str) or parent == self.id


@dataclass(slots=True)
class Heads:
    """The last heads that were read or written. Shared by copies of a saver and all threads."""

    _heads: OrderedDict[Place, Head] = field(default_factory=OrderedDict[Place, Head])
    _lock: Any = field(default_factory=threading.Lock)

    def get(self, place: Place) -> Head | None:
        with self._lock:
            return self._heads.get(place)

    def keep(self, place: Place, head: Head) -> None:
        with self._lock:
            self._heads[place] = head
            self._heads.move_to_end(place)
            if len(self._heads) > KEPT:
                self._heads.popitem(last=False)

    def drop(self, place: Place) -> None:
        with self._lock:
            self._heads.pop(place, None)
