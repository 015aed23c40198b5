"""A storage as one recall or one save of `BotWireMemory` sees it.

- It is brought up to date once, when it is made; everything that is read through it is of then.
- What the reader may not see does not exist, and cannot be deleted.
- It keeps what goes wrong inside, since CrewAI's flows log that and go on as if nothing was found.
"""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from botwire import BotWireError
from botwire_crewai.index import Filter, Index, Reader
from botwire_crewai.records import path, within
from botwire_crewai.storage import BotWireStorage, Found

__all__ = ["Lens", "RecallLens"]

MOST_SCOPES = 20  # a deep recall searches no more


class Lens(BotWireStorage):
    """The records of a storage that `reader` may see (None: all).

    Raises:
        BotWireError: the memory cannot be read.
    """

    def __init__(self, storage: BotWireStorage, reader: Reader | None) -> None:
        vars(self).update(vars(storage))
        self._whole = storage
        self._reader = reader
        self.trouble: BotWireError | ValueError | None = None
        with storage.index():
            pass

    @contextmanager
    def watched(self) -> Generator[None]:
        with self._whole.watched():
            yield

    @contextmanager
    def index(self) -> Generator[Index]:
        with self.watched(), self.mirror.stale() as index:
            yield index

    def wanted(self, wanted: Filter) -> Filter:
        return replace(wanted, reader=self._reader)

    def search(self, *conditions: Any, **more: Any) -> Found:
        try:
            return super().search(*conditions, **more)
        except (BotWireError, ValueError) as error:
            self.trouble = error
            raise


class RecallLens(Lens):
    """A storage as a recall in `scope` sees it: nothing outside of that scope exists."""

    def __init__(self, storage: BotWireStorage, reader: Reader | None, scope: str) -> None:
        super().__init__(storage, reader)
        self._scope = scope

    def wanted(self, wanted: Filter) -> Filter:
        # A model that is asked for scopes to search may name others' as well.
        inside = within(path(wanted.scope), self._scope)
        return super().wanted(replace(wanted, scope=wanted.scope if inside else self._scope))

    def list_scopes(self, parent: str = "/") -> list[str]:
        """The scopes to search: those below, and the one itself, which holds records, too."""
        return [*super().list_scopes(parent)[: MOST_SCOPES - 1], path(parent)]
