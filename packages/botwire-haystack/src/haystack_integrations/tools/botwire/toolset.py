"""`BotWireToolset`: an Agent's own memory, in which each user sees only what is theirs.

- Whose memory it is comes from the Agent's State, never from the model: `inputs_from_state` would
  let an argument of the model take precedence, so the tools read the live State themselves.
- A tool answers with short JSON; `version` 0 means that nothing is stored. A lost race is an
  answer, too, with the current value in it, since the model can act on it.
"""

from collections.abc import Callable, Sequence
from typing import Any, Self

from haystack.components.agents.state import State
from haystack.core.serialization import generate_qualified_class_name
from haystack.tools.tool import Tool
from haystack.tools.toolset import Toolset
from haystack.utils import Secret

from botwire import Conflict, Entry, Page
from botwire.jsontext import encode
from botwire.operations import Delete, Exists, Read, Scan, Set
from botwire.operations.checks import name_text
from haystack_integrations.common.botwire import API_KEY, Backed, Flow, segment

__all__ = ["BotWireToolset"]

LISTED = 100  # keys in one answer, so that a full memory does not fill the context
KEY = {"type": "string", "description": "Name of the entry, such as 'preferences' or 'todo:7'."}
Answer = dict[str, Any]
Work = Callable[..., Flow[Answer]]


class BotWireToolset(Toolset):
    """Tools to get, set, delete, list and look for entries.

    Args:
        namespace, url, api_key, timeout: where; see `Backed`.
        scope: names of State keys whose values say whose memory it is, such as `("user_id",)`; put
            them into the Agent's `state_schema` and pass them to its `run`. Without any, the memory
            is shared by everybody who uses the toolset.
        prefix: put before all keys.
        read_only: leave out the tools that change something.
        ttl: seconds an entry lives; None: for ever.
        sliding: each read starts the ttl anew.

    >>> toolset = BotWireToolset(url="memory://", scope=["user_id"])
    >>> [tool.name for tool in toolset]
    ['memory_get', 'memory_exists', 'memory_list', 'memory_set', 'memory_delete']
    """

    def __init__(
        self,
        namespace: str = "haystack",
        *,
        scope: Sequence[str] = (),
        prefix: str = "",
        read_only: bool = False,
        ttl: float | None = None,
        sliding: bool = False,
        url: str | None = None,
        api_key: Secret | None = API_KEY,
        timeout: float = 30.0,
    ) -> None:
        self.place = Backed(namespace, url=url, api_key=api_key, timeout=timeout)
        self.scope = list(scope)
        self.prefix = prefix
        self.read_only = read_only
        self.ttl = ttl
        self.sliding = sliding
        reading = [
            self._tool("get", "Read an entry.", self._get, {"key": KEY}),
            self._tool("exists", "Ask whether an entry exists.", self._exists, {"key": KEY}),
            self._tool("list", LIST, self._list, LIST_PARAMETERS, required=[]),
        ]
        writing = [
            self._tool("set", SET, self._set, SET_PARAMETERS, required=["key", "value"]),
            self._tool("delete", "Delete an entry.", self._delete, {"key": KEY}),
        ]
        super().__init__(tools=reading if read_only else reading + writing)

    # -- what the tools do -----------------------------------------------------------------------

    def _get(self, scope: str, /, key: str) -> Flow[Answer]:
        entry: Entry | None = yield Read(self.place.namespace, _key(scope, key))
        return {"value": entry.value, "version": entry.version} if entry else NOTHING

    def _exists(self, scope: str, /, key: str) -> Flow[Answer]:
        return {"exists": (yield Exists(self.place.namespace, _key(scope, key)))}

    def _list(self, scope: str, /, prefix: str = "", after: str = "") -> Flow[Answer]:
        behind = scope + after if after else None
        scan = Scan(self.place.namespace, scope + prefix, behind, LISTED, values=False)
        page: Page = yield scan
        keys = [entry.key.removeprefix(scope) for entry in page.entries]
        return {"keys": keys, "more_after": keys[-1] if page.cursor else None}

    def _set(
        self, scope: str, /, key: str, value: Any, if_version: int | None = None
    ) -> Flow[Answer]:
        space, text = self.place.namespace, encode(value)
        try:
            version = yield Set(space, _key(scope, key), text, self.ttl, self.sliding, if_version)
        except Conflict as lost:
            return {
                "error": "not written: the entry has another version",
                "value": lost.current_value,
                "version": lost.current_version,
            }
        return {"version": version}

    def _delete(self, scope: str, /, key: str) -> Flow[Answer]:
        return {"deleted": (yield Delete(self.place.namespace, _key(scope, key)))}

    # -- how they become tools -------------------------------------------------------------------

    def _tool(
        self,
        name: str,
        description: str,
        work: Work,
        properties: dict[str, Any],
        required: Sequence[str] = ("key",),
    ) -> Tool:
        def function(state: State, **arguments: Any) -> Answer:
            return self.place.drive(work(self._whose(state), **arguments))

        async def async_function(state: State, **arguments: Any) -> Answer:
            return await self.place.drive_async(work(self._whose(state), **arguments))

        schema = {"type": "object", "properties": properties, "required": list(required)}
        return Tool(
            name=f"memory_{name}",
            description=description,
            parameters=schema | {"additionalProperties": False},
            function=function,
            async_function=async_function,
        )

    def _whose(self, state: State) -> str:
        owners = {name: state.data.get(name) for name in self.scope}
        for name, owner in owners.items():
            if owner is None or owner == "":
                raise ValueError(
                    f"the Agent's State has no {name!r}: put it into the state_schema and pass it"
                    " to run()"
                )
        return self.prefix + "".join(f"{segment(str(owner))}/" for owner in owners.values())

    # -- life cycle ------------------------------------------------------------------------------

    def warm_up(self) -> None:
        """Make ready; nothing is opened yet."""
        self.place.warm_up()

    def close(self) -> None:
        """Give the connection back."""
        self.place.close()

    async def close_async(self) -> None:
        """As `close`."""
        await self.place.close_async()

    def to_dict(self) -> dict[str, Any]:
        """The toolset as plain data: where and whose, not the tools."""
        data = {
            **self.place.address(),
            "scope": self.scope,
            "prefix": self.prefix,
            "read_only": self.read_only,
            "ttl": self.ttl,
            "sliding": self.sliding,
        }
        return {"type": generate_qualified_class_name(type(self)), "data": data}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The toolset that `to_dict` described."""
        parameters = dict(data["data"])
        key = parameters.pop("api_key", None)
        return cls(**parameters, api_key=Secret.from_dict(key) if key else None)


def _key(scope: str, key: Any) -> str:
    name_text(key, "key")  # with the scope in front an empty one would pass
    return scope + key


NOTHING: Answer = {"value": None, "version": 0}
LIST = f"List the names of entries in order, {LISTED} at most."
LIST_PARAMETERS = {
    "prefix": {"type": "string", "description": "Only names that begin with this."},
    "after": {"type": "string", "description": "Go on behind this name (see more_after)."},
}
SET = "Write an entry, in place of what it held."
SET_PARAMETERS = {
    "key": KEY,
    "value": {"type": "string", "description": "What to remember."},
    "if_version": {
        "type": "integer",
        "description": "Write only if the entry still has this version; 0: only if it is new.",
    },
}
