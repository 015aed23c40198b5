"""`BotWireToolResultReader`: lets a model read what was offloaded to a `BotWireToolResultStore`."""

from typing import Any, Self

from haystack.core.serialization import generate_qualified_class_name
from haystack.tools.tool import Tool

from haystack_integrations.tool_result_stores.botwire import BotWireToolResultStore

__all__ = ["BotWireToolResultReader"]


class BotWireToolResultReader(Tool):
    """The tool `read_tool_result`, which returns an offloaded text piece by piece.

    Args:
        store: where the results are.
        max_chars: the longest piece.

    >>> store = BotWireToolResultStore(url="memory://")
    >>> reader = BotWireToolResultReader(store, max_chars=4)
    >>> reader.invoke(reference=store.write(key="1.txt", content="abcdefgh"), start=4)
    {'text': 'efgh', 'start': 4, 'length': 8}
    """

    def __init__(self, store: BotWireToolResultStore, max_chars: int = 8000) -> None:
        self.store = store
        self.max_chars = max_chars
        super().__init__(  # pyright: ignore[reportUnknownMemberType]  Tool leaves its functions open
            name="read_tool_result",
            description=(
                "Read a tool result that was offloaded, by the reference in its place. A long text"
                f" comes in pieces of {max_chars} characters: ask again with a later start."
            ),
            parameters=PARAMETERS,
            function=self._read,
            async_function=self._read_async,
        )

    def _read(self, reference: str, start: int = 0) -> dict[str, Any]:
        return self._piece(self.store.read(reference), start)

    async def _read_async(self, reference: str, start: int = 0) -> dict[str, Any]:
        return self._piece(await self.store.read_async(reference), start)

    def _piece(self, content: str | bytes, start: int) -> dict[str, Any]:
        if isinstance(content, bytes):
            return {"error": f"{len(content)} bytes that are no text"}
        text = content[start : start + self.max_chars]
        return {"text": text, "start": start, "length": len(content)}

    def warm_up(self) -> None:
        """Make the store ready; nothing is opened yet."""
        self.store.warm_up()

    def close(self) -> None:
        """Give the store's connection back."""
        self.store.close()

    async def close_async(self) -> None:
        """As `close`."""
        await self.store.close_async()

    def to_dict(self) -> dict[str, Any]:
        """The tool as plain data: its store, not its function."""
        data = {"store": self.store.to_dict(), "max_chars": self.max_chars}
        return {"type": generate_qualified_class_name(type(self)), "data": data}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The tool that `to_dict` described."""
        parameters = data["data"]
        store = BotWireToolResultStore.from_dict(parameters["store"])
        return cls(store, parameters["max_chars"])


PARAMETERS = {
    "type": "object",
    "properties": {
        "reference": {"type": "string", "description": "The reference, as it stands there."},
        "start": {"type": "integer", "description": "The first character to read, from 0."},
    },
    "required": ["reference"],
    "additionalProperties": False,
}
