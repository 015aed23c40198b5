"""Tools with which an AG2 agent remembers and recalls.

AG2 shows the model the whole traceback of an exception; these tools show its message.
"""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any
from urllib.parse import quote

from ag2 import Context, Toolkit
from ag2.events import ToolCallEvent, ToolErrorEvent, ToolResult
from ag2.middleware import ToolExecution
from pydantic import Field

from botwire import AsyncMemory
from botwire.errors import InvalidRequest
from botwire.jsontext import encode
from botwire.operations import MISSING

__all__ = ["memory_toolkit"]

LISTED = 100  # most keys a listing shows
Own = Callable[[Any], AsyncMemory]  # the memory that a context may use
Tool = Callable[..., Awaitable[str]]
Key = Annotated[str, Field(description="Name under which it is kept, such as 'favourite_drink'.")]


def memory_toolkit(
    memory: AsyncMemory | str,
    *,
    prefix: str = "memory/",
    ttl: float | None = None,
    user_variable: str | None = None,
) -> Toolkit:
    """The tools remember, recall, list_memory and forget.

    Args:
        memory: a namespace, or the memory to use.
        prefix: everything under this prefix of keys belongs to the tools.
        ttl: seconds after which what they wrote is forgotten; without it never.
        user_variable: a variable of the context that names the user, each of whom then has a
            namespace of their own: `<namespace>/<user>`. The model neither sees nor chooses it.

    >>> [tool.name for tool in memory_toolkit("team").tools]
    ['remember', 'recall', 'list_memory', 'forget']
    """
    root = AsyncMemory(memory) if isinstance(memory, str) else memory

    def own(context: Any) -> AsyncMemory:
        return root if user_variable is None else _of_user(root, context, user_variable)

    remember, forget = _writing(own, prefix, ttl)
    recall, list_memory = _reading(own, prefix)
    tools = (remember, recall, list_memory, forget)
    return Toolkit(*tools, name="memory", middleware=[_without_traceback])


def _writing(own: Own, prefix: str, ttl: float | None) -> tuple[Tool, Tool]:
    async def remember(
        key: Key,
        value: Annotated[str, Field(description="What to remember, as text.")],
        context: Context,
    ) -> str:
        """Remember a text under a key, in place of what was there, beyond this conversation."""
        await own(context).set(prefix + key, value, ttl=ttl)
        return f"Remembered {key!r}."

    async def forget(key: Key, context: Context) -> str:
        """Forget what is remembered under a key, for everybody."""
        forgotten = await own(context).delete(prefix + key)
        return f"Forgot {key!r}." if forgotten else _nothing(key)

    return remember, forget


def _reading(own: Own, prefix: str) -> tuple[Tool, Tool]:
    async def recall(key: Key, context: Context) -> str:
        """Recall what is remembered under a key."""
        value = await own(context).get(prefix + key, MISSING)
        if value is MISSING:
            return _nothing(key)
        return value if isinstance(value, str) else encode(value)

    async def list_memory(
        starts_with: Annotated[str, Field(description="Only such keys; '' for all.")],
        context: Context,
    ) -> str:
        """List the keys of what is remembered."""
        start = prefix + starts_with
        page = await own(context).page(start, limit=LISTED, values=False)
        keys = [entry.key.removeprefix(prefix) for entry in page.entries]
        more = "\n... and more" if page.cursor else ""
        return "\n".join(keys) + more if keys else "Nothing is remembered there."

    return recall, list_memory


def _nothing(key: str) -> str:
    return f"Nothing is remembered under {key!r}."


def _of_user(root: AsyncMemory, context: Any, variable: str) -> AsyncMemory:
    user = context.variables.get(variable)
    if not user:
        raise InvalidRequest(
            f"this memory belongs to the user named by the variable {variable!r}, which is not set",
            hint=f"Ask with variables={{{variable!r}: ...}}.",
        )
    return root.namespaced(f"{root.namespace}/{quote(str(user), safe='')}")


async def _without_traceback(
    call_next: ToolExecution, event: ToolCallEvent, context: Context
) -> Any:
    result = await call_next(event, context)
    if not isinstance(result, ToolErrorEvent):
        return result
    text = ToolResult(f"Error: {result.error}")
    return ToolErrorEvent(
        parent_id=result.parent_id, name=result.name, error=result.error, result=text
    )
