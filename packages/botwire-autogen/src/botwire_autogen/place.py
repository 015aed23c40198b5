"""Where a component keeps its data, as fields that AutoGen may write into a configuration.

A configuration is shared, logged and put under version control, so it names the environment
variable that holds the API key, and neither a key nor a URL with a password is ever written.
"""

import os
from typing import Any, Self

from pydantic import BaseModel

from botwire import AsyncMemory, Memory
from botwire.runners import holds_password

__all__ = ["Place", "options"]

DEFAULT_KEY = "BOTWIRE_API_KEY"


class Place(BaseModel):
    """The address of a memory. Every configuration of this package begins with it.

    Attributes:
        namespace: whose memory it is, such as a user, a team or an agent.
        url: without it BOTWIRE_URL, then the hosted service.
        api_key_env: the environment variable that holds the API key.
        timeout: seconds an operation may take.
    """

    namespace: str
    url: str | None = None
    api_key_env: str = DEFAULT_KEY
    timeout: float = 30.0

    def open(self, api_key: str | None = None) -> AsyncMemory:
        """The memory at this place. Nothing is connected before it is used."""
        return self.open_sync(api_key).to_async()

    def open_sync(self, api_key: str | None = None) -> Memory:
        """The same for code that blocks.

        Raises:
            ValueError: a server is to be called, and the variable named for its key is not set.
        """
        key = api_key or os.environ.get(self.api_key_env)
        memory = Memory(self.namespace, url=self.url, api_key=key, timeout=self.timeout)
        if key is None and self.api_key_env != DEFAULT_KEY and memory.url.startswith("http"):
            # Memory would send BOTWIRE_API_KEY, which may belong to another server.
            raise ValueError(f"the environment variable {self.api_key_env} is not set")
        return memory

    def shareable(self) -> Self:
        """This configuration, unless it holds a secret.

        Raises:
            ValueError: the URL holds a password.
        """
        if self.url is not None and holds_password(self.url):
            raise ValueError(
                "the URL holds a password, which must not stand in a configuration: "
                "leave url= out and set BOTWIRE_URL instead"
            )
        return self


def options(config: BaseModel) -> dict[str, Any]:
    """The fields of a configuration as they are, for the constructor it describes.

    (`model_dump` would turn nested models into dicts, which constructors do not take.)
    """
    return {name: getattr(config, name) for name in type(config).model_fields}
