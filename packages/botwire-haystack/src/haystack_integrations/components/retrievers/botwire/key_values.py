"""`BotWireKeyValueReader`: loads values by key, one output socket for each."""

from collections.abc import Mapping, Sequence
from typing import Any

from haystack import component
from haystack.utils import Secret

from haystack_integrations.common.botwire import API_KEY, Backed, unpack

__all__ = ["BotWireKeyValueReader"]


@component
class BotWireKeyValueReader(Backed):
    """Loads what a `BotWireKeyValueWriter` (or any other client) saved, in one round trip.

    Each key is an output of the component, so `reader.context` connects to `prompt.context`.

    Args:
        namespace, url, api_key, timeout: where; see `Backed`.
        keys: the keys to read and what to give where there is nothing (None, if only listed).

    >>> reader = BotWireKeyValueReader(url="memory://", keys={"context": ""})
    >>> reader.run(prefix="user:ada:")
    {'context': ''}
    """

    def __init__(
        self,
        namespace: str = "haystack",
        *,
        keys: Mapping[str, Any] | Sequence[str],
        url: str | None = None,
        api_key: Secret | None = API_KEY,
        timeout: float = 30.0,
    ) -> None:
        Backed.__init__(self, namespace, url=url, api_key=api_key, timeout=timeout)  # see `Backed`
        self.keys = dict(keys) if isinstance(keys, Mapping) else dict.fromkeys(keys)
        component.set_output_types(self, **{key: _kind(value) for key, value in self.keys.items()})

    def _parameters(self) -> dict[str, Any]:
        return {"keys": self.keys}

    def _values(self, prefix: str, found: dict[str, Any]) -> dict[str, Any]:
        return {key: unpack(found.get(prefix + key, default)) for key, default in self.keys.items()}

    def run(self, prefix: str = "") -> dict[str, Any]:
        """The values of `prefix + key` for each key.

        Args:
            prefix: whose values, such as `user:42:`.
        """
        return self._values(prefix, self.memory.get_many(prefix + key for key in self.keys))

    async def run_async(self, prefix: str = "") -> dict[str, Any]:
        """As `run`."""
        found = await self.async_memory.get_many(prefix + key for key in self.keys)
        return self._values(prefix, found)


def _kind(default: Any) -> Any:
    """A text default makes a text socket; other values connect to sockets that take anything."""
    return str if isinstance(default, str) else Any
