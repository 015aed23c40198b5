"""`BotWireCacheStore`: answers of a model, kept for every process that asks the same.

- Autogen calls a cache synchronously on the event loop, so the timeout is short.
- A cache must not stop an agent: what fails is logged, and counts as not cached.
- Autogen's key holds the messages and tools, and neither the model nor `tool_choice`; the model
  stands in the key here, so that two models never answer for each other.
"""

import logging
from typing import Any, Generic, Literal, Self, TypeVar, cast
from urllib.parse import quote

from autogen_core import CacheStore, Component
from pydantic import BaseModel

from botwire import BotWireError
from botwire_autogen.place import Place, options

__all__ = ["BotWireCacheStore"]

logger = logging.getLogger("botwire_autogen")
T = TypeVar("T")


class BotWireCacheStoreConfig(Place):
    """What `dump_component` writes: the address and the options, never a key."""

    model: str
    ttl: float | None = None
    on_error: Literal["miss", "raise"] = "miss"
    timeout: float = 2.0


class BotWireCacheStore(CacheStore[T], Component[BotWireCacheStoreConfig], Generic[T]):
    """A cache for `autogen_ext.models.cache.ChatCompletionCache` that all processes share.

    Args:
        namespace: where the cache is kept.
        model: the model whose answers these are; those of other models are never given.
        ttl: seconds an answer is kept; without it for ever.
        on_error: "miss" logs a warning and asks the model, "raise" raises.
        timeout: seconds the event loop may wait for the cache.
        url, api_key: as for `botwire.Memory`.
        api_key_env: the environment variable that holds the key unless `api_key` is given.

    >>> store = BotWireCacheStore[str]("llm-cache", model="gpt-5", url="memory://")
    >>> store.set("question", "answer")
    >>> store.get("question")
    'answer'
    """

    component_config_schema = BotWireCacheStoreConfig
    component_provider_override = "botwire_autogen.BotWireCacheStore"

    def __init__(
        self,
        namespace: str,
        *,
        model: str,
        ttl: float | None = None,
        on_error: Literal["miss", "raise"] = "miss",
        url: str | None = None,
        api_key: str | None = None,
        api_key_env: str = "BOTWIRE_API_KEY",
        timeout: float = 2.0,
    ) -> None:
        self._config = BotWireCacheStoreConfig(
            namespace=namespace,
            model=model,
            ttl=ttl,
            on_error=on_error,
            url=url,
            api_key_env=api_key_env,
            timeout=timeout,
        )
        self._memory = self._config.open_sync(api_key)

    def get(self, key: str, default: T | None = None) -> T | None:
        """The cached answer as JSON data, which `ChatCompletionCache` makes results of again."""
        try:
            return self._memory.get(self._key(key), default)
        except BotWireError as error:
            self._missed(error)
            return default

    def set(self, key: str, value: T) -> None:
        """Keep an answer: results of models (or lists of them), or plain JSON."""
        try:
            self._memory.set(self._key(key), _plain(value), ttl=self._config.ttl)
        except BotWireError as error:
            self._missed(error)

    def clear(self) -> int:
        """Delete what is cached for this model; how many answers that were."""
        return self._memory.clear(self._key(""))

    def close(self) -> None:
        """Give the connection back. Nothing is deleted; closing twice is fine."""
        self._memory.close()

    def _key(self, key: str) -> str:
        return f"cache/{quote(self._config.model, safe='')}/{key}"

    def _missed(self, error: BotWireError) -> None:
        if self._config.on_error == "raise":
            raise error
        logger.warning("the cache of %s was left out: %s", self._config.model, error)

    def _to_config(self) -> BotWireCacheStoreConfig:
        return self._config.shareable()

    @classmethod
    def _from_config(cls, config: BotWireCacheStoreConfig) -> Self:
        return cls(**options(config))


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump()
    if isinstance(value, list):
        return [_plain(item) for item in cast("list[Any]", value)]
    return value
