"""`BotWireKeyValueWriter`: saves values by key, one input socket for each."""

from collections.abc import Callable, Sequence
from typing import Any

from haystack import component
from haystack.utils import Secret

from botwire.jsontext import encode
from botwire.operations import SetMany
from haystack_integrations.common.botwire import API_KEY, Backed, pack

__all__ = ["BotWireKeyValueWriter"]


@component
class BotWireKeyValueWriter(Backed):
    """Saves values under `prefix + key`; each key is an input of the component.

    Values are JSON, or Haystack's messages and documents (also inside lists and dicts).

    Args:
        namespace, url, api_key, timeout: where; see `Backed`.
        keys: the keys that are written in each run.
        append: add text to what is there instead of replacing it; no other writer's text is lost.
        max_chars: with `append`, how many characters are kept, the newest.
        ttl: seconds the values live; None: for ever.
        sliding: each read starts the ttl anew ("7 days of inactivity").

    >>> writer = BotWireKeyValueWriter(url="memory://", keys=["context"], append=True, max_chars=5)
    >>> writer.run(prefix="user:bob:", context="hello ")
    {'keys_written': 1}
    >>> writer.run(prefix="user:bob:", context="Bob")
    {'keys_written': 1}
    >>> writer.memory["user:bob:context"]
    'o Bob'
    """

    def __init__(
        self,
        namespace: str = "haystack",
        *,
        keys: Sequence[str],
        append: bool = False,
        max_chars: int | None = None,
        ttl: float | None = None,
        sliding: bool = False,
        url: str | None = None,
        api_key: Secret | None = API_KEY,
        timeout: float = 30.0,
    ) -> None:
        Backed.__init__(self, namespace, url=url, api_key=api_key, timeout=timeout)  # see `Backed`
        if "prefix" in keys:
            raise ValueError("'prefix' is an input of its own and cannot be a key")
        if max_chars is not None and (max_chars < 1 or not append):
            raise ValueError("max_chars must be at least 1 and needs append=True")
        self.keys = list(keys)
        self.append = append
        self.max_chars = max_chars
        self.ttl = ttl
        self.sliding = sliding
        kinds: dict[str, Any] = dict.fromkeys(self.keys, str if append else Any)
        component.set_input_types(self, **kinds)

    def _parameters(self) -> dict[str, Any]:
        return {
            "keys": self.keys,
            "append": self.append,
            "max_chars": self.max_chars,
            "ttl": self.ttl,
            "sliding": self.sliding,
        }

    @component.output_types(keys_written=int)
    def run(self, prefix: str = "", **values: Any) -> dict[str, int]:
        """Save the values and say how many they were.

        Args:
            prefix: whose values, such as `user:42:`.

        Raises:
            InvalidValue: a value is not JSON; nothing was written.
        """
        if self.append:
            for key, text in values.items():
                self.memory.update(
                    prefix + key, self._longer(text), "", ttl=self.ttl, sliding=self.sliding
                )
        else:
            self.memory.run(self._set(prefix, values))
        return {"keys_written": len(values)}

    @component.output_types(keys_written=int)
    async def run_async(self, prefix: str = "", **values: Any) -> dict[str, int]:
        """As `run`."""
        if self.append:
            for key, text in values.items():
                await self.async_memory.update(
                    prefix + key, self._longer(text), "", ttl=self.ttl, sliding=self.sliding
                )
        else:
            await self.async_memory.run(self._set(prefix, values))
        return {"keys_written": len(values)}

    def _set(self, prefix: str, values: dict[str, Any]) -> SetMany:
        texts = {prefix + key: encode(pack(value)) for key, value in values.items()}
        return SetMany(self.namespace, texts, self.ttl, self.sliding)

    def _longer(self, text: str) -> Callable[[str], str]:
        start = -(self.max_chars or 0)  # a slice from 0 on is the whole text
        return lambda old: (old + text)[start:]
