"""`Owner`: a component or hook that works on a store and shares its life cycle."""

from typing import Any, Self

from haystack import default_from_dict, default_to_dict

from haystack_integrations.common.botwire.backed import Backed

__all__ = ["Owner"]


class Owner:
    """Warms up, closes and is saved together with its store.

    `default_from_dict` rebuilds the store with it, under Haystack's allow-list.
    """

    def _store(self) -> Backed:
        raise NotImplementedError

    def _parameters(self) -> dict[str, Any]:
        """What the constructor takes."""
        raise NotImplementedError

    def warm_up(self) -> None:
        """Make the store ready; nothing is opened yet."""
        self._store().warm_up()

    def close(self) -> None:
        """Give the store's connection back."""
        self._store().close()

    async def close_async(self) -> None:
        """As `close`."""
        await self._store().close_async()

    def to_dict(self) -> dict[str, Any]:
        """The object and its store as plain data, as Haystack saves them."""
        return default_to_dict(self, **self._parameters())

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The object that `to_dict` described."""
        return default_from_dict(cls, data)
