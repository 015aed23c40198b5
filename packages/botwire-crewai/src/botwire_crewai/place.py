"""Where an adapter's memory is, in fields that CrewAI may write into its checkpoints.

Whatever CrewAI keeps is written as JSON and rebuilt from it elsewhere, so an adapter holds a
namespace and an address and never a key: the other side has BOTWIRE_API_KEY.
"""

from typing import Annotated

from pydantic import Field, PlainSerializer, SecretStr

from botwire import Memory
from botwire.runners import holds_password

__all__ = ["ApiKey", "Url", "open_memory"]


def _without_secret(url: str | None) -> str | None:
    """A URL that holds a password stays out; the other side then looks at BOTWIRE_URL."""
    return None if url is None or holds_password(url) else url


Url = Annotated[str | None, PlainSerializer(_without_secret), Field(repr=False)]
ApiKey = Annotated[SecretStr | None, Field(exclude=True, repr=False)]


def open_memory(
    namespace: str, url: str | None, api_key: SecretStr | None, timeout: float
) -> Memory:
    """The memory at this place. Nothing is read or connected before it is used."""
    key = api_key.get_secret_value() if api_key else None
    return Memory(namespace, url=url, api_key=key, timeout=timeout)
