"""`Backed`: what every BotWire class for Haystack is before it does anything.

Rules of this room:
- Nothing is resolved, opened or sent before `warm_up` (or the first use, which warms up).
- What takes several round trips is a flow, written once as a generator that yields operations of
  `botwire.operations`; `drive` and `drive_async` differ by `await`.
- `@component` makes a new class of the one it decorates, which a bare `super()` does not know:
  components call `Backed.__init__` by its name.
- An API key leaves the process only as the name of an environment variable.
"""

from collections.abc import Generator
from typing import Any, Self, TypeVar

from haystack import default_from_dict, default_to_dict
from haystack.utils import Secret

from botwire import AsyncMemory, BotWireError, Memory
from botwire.operations import Operation
from botwire.runners import holds_password

__all__ = ["API_KEY", "Backed", "Flow"]

T = TypeVar("T")
Flow = Generator[Operation, Any, T]

API_KEY = Secret.from_env_var("BOTWIRE_API_KEY", strict=False)


class Backed:
    """An address, and from `warm_up` on the memory that is there.

    Args:
        namespace: the BotWire namespace everything is kept in.
        url: `sqlite:///memory.db` (embedded) or the `http(s)://` of a server; without it
            BOTWIRE_URL is read at warm-up, then the hosted service is used.
        api_key: a secret that is resolved at warm-up.
        timeout: seconds an operation may take, repeats included.
    """

    def __init__(
        self,
        namespace: str = "haystack",
        *,
        url: str | None = None,
        api_key: Secret | None = API_KEY,
        timeout: float = 30.0,
    ) -> None:
        self.namespace = namespace
        self.url = url
        self.api_key = api_key
        self.timeout = timeout
        self._memory: Memory | None = None
        self._async_memory: AsyncMemory | None = None

    def warm_up(self) -> None:
        """Resolve the API key and make ready. Opens nothing yet: the first operation does.

        Raises:
            ValueError: the API key is a strict secret and its variable is not set.
        """
        _ = self.memory  # made on first use

    @property
    def memory(self) -> Memory:
        """The memory, for whatever the class itself does not offer."""
        memory = self._memory
        if memory is None:
            key = self.api_key.resolve_value() if self.api_key else None
            memory = Memory(self.namespace, url=self.url, api_key=key, timeout=self.timeout)
            self._memory = memory
        return memory

    @property
    def async_memory(self) -> AsyncMemory:
        """The memory for asynchronous code."""
        memory = self._async_memory or self.memory.to_async()
        self._async_memory = memory
        return memory

    def close(self) -> None:
        """Give the connection back. It may be called at any time; the next use warms up again."""
        memory, self._memory, self._async_memory = self._memory, None, None
        if memory is not None:
            memory.close()

    async def close_async(self) -> None:
        """As `close`."""
        memory = self._async_memory
        self.close()
        if memory is not None:
            await memory.close()

    def drive(self, flow: Flow[T]) -> T:
        """Run the operations a flow yields; it sees their results and errors."""
        try:
            operation = next(flow)
            while True:
                try:
                    result = self.memory.run(operation)
                except BotWireError as error:
                    operation = flow.throw(error)
                else:
                    operation = flow.send(result)
        except StopIteration as done:
            return done.value

    async def drive_async(self, flow: Flow[T]) -> T:
        try:
            operation = next(flow)
            while True:
                try:
                    result = await self.async_memory.run(operation)
                except BotWireError as error:
                    operation = flow.throw(error)
                else:
                    operation = flow.send(result)
        except StopIteration as done:
            return done.value

    def _parameters(self) -> dict[str, Any]:
        """What the constructor of the subclass takes besides the address."""
        return {}

    def address(self) -> dict[str, Any]:
        """Where it is, as plain data.

        Raises:
            ValueError: the API key is a token, or the URL holds a password.
        """
        if holds_password(self.url or ""):
            raise ValueError(
                "this URL holds a password, which must not be written to a file: leave url= out"
                " and set BOTWIRE_URL"
            )
        return {
            "namespace": self.namespace,
            "url": self.url,
            "api_key": self.api_key.to_dict() if self.api_key else None,
            "timeout": self.timeout,
        }

    def to_dict(self) -> dict[str, Any]:
        """The object as plain data, as Haystack saves it. Raises what `address` raises."""
        return default_to_dict(self, **self.address(), **self._parameters())

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The object that `to_dict` described."""
        return default_from_dict(cls, data)
