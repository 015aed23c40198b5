"""`BotWireCacheHandler`: results of tools, shared between processes and forgotten after a while."""

import hashlib
import json
import logging
from typing import Any

from crewai.agents.cache.cache_handler import CacheHandler
from crewai.utilities.string_utils import sanitize_tool_name
from pydantic import PrivateAttr

from botwire import Memory
from botwire.errors import BotWireError, InvalidValue
from botwire_crewai.place import ApiKey, Url, open_memory

__all__ = ["BotWireCacheHandler"]

logger = logging.getLogger(__name__)


class BotWireCacheHandler(CacheHandler):
    """A cache of tool results: `Agent(cache_handler=BotWireCacheHandler("tool-cache"))`.

    A result that is JSON is shared; any other stays in this process, as with CrewAI's own handler,
    because it would not come back equal. A failure of a tool is never kept. A cache that cannot be
    reached is logged and finds nothing, so that the tool runs.

    Args:
        namespace: where the results are; also as the only positional argument.
        ttl: seconds a result is used; an hour unless told otherwise.
        url, api_key, timeout: as for `botwire.Memory`.

    >>> cache = BotWireCacheHandler("tool-cache", url="memory://")
    >>> cache.add("search", '{"q": "Oslo"}', "a city")
    >>> cache.read("search", '{"q": "Oslo"}')
    'a city'
    """

    namespace: str
    url: Url = None
    api_key: ApiKey = None
    timeout: float = 5.0
    ttl: float | None = 3600.0
    _memory: Memory = PrivateAttr()

    def __init__(self, namespace: str | None = None, /, **settings: Any) -> None:
        super().__init__(**({} if namespace is None else {"namespace": namespace}), **settings)

    def model_post_init(self, context: Any, /) -> None:
        super().model_post_init(context)
        self._memory = open_memory(self.namespace, self.url, self.api_key, self.timeout)

    def add(self, tool: str, input: str, output: Any) -> None:
        """Keep the result of a tool for these arguments."""
        try:
            self._memory.set(_key(tool, input), output, ttl=self.ttl)
        except InvalidValue:
            super().add(sanitize_tool_name(tool), input, output)
        except BotWireError as error:
            logger.warning("the result of %s is not cached: %s", tool, error)

    def read(self, tool: str, input: str) -> Any | None:
        """The result that was kept, or None."""
        local = super().read(sanitize_tool_name(tool), input)
        if local is not None:
            return local
        try:
            return self._memory.get(_key(tool, input))
        except BotWireError as error:
            logger.warning("the cache does not answer, so %s runs: %s", tool, error)
            return None


def _key(tool: str, arguments: str) -> str:
    """One key for one call: CrewAI writes the name of a tool in two ways."""
    return f"{sanitize_tool_name(tool)}/{hashlib.sha256(_ordered(arguments).encode()).hexdigest()}"


def _ordered(arguments: str) -> str:
    """Arguments are the same in whatever order a model gives them."""
    try:
        return json.dumps(json.loads(arguments), sort_keys=True)
    except ValueError:
        return arguments
