"""What the memory tools share: where the memory is, and how a question becomes an answer.

- Arguments are scalars, because models fill nothing else reliably (CrewAI's native schema turns a
  `dict` into an object without members). Text that is a JSON object or array is stored as that;
  every other text stays the text it is.
- A result is JSON or a whole sentence, never `None`, which would look like a stored text.
- A tool never raises (see `failures.py`) and its results are never cached.
- `max_usage_count` makes CrewAI run the calls of one turn in their order; without it they run at
  the same time, and a recall misses what the same turn remembered.
- All public fields survive a checkpoint; the memory itself is opened anew from them.
"""

import asyncio
from typing import Annotated, Any

from crewai.tools import BaseTool, EnvVar
from crewai.types.callback import SerializableCallable
from pydantic import Field, PrivateAttr, WithJsonSchema

from botwire import BotWireError, Memory
from botwire.errors import InvalidValue
from botwire.jsontext import Json, check, encode
from botwire_crewai.failures import failure
from botwire_crewai.place import ApiKey, Url, open_memory

__all__ = ["Key", "MemoryTool", "Seconds", "Value", "as_json"]

UNLIMITED = 10**9  # counts twice a use in text style, so no smaller limit would be safe

Key = Annotated[
    str, Field(description="Name under which it is kept, such as 'customer:42:language'.")
]
# Models are told to write text; some write the object itself, which is as good.
Value = Annotated[
    Any,
    WithJsonSchema({"type": "string"}),
    Field(description="What to keep: text, or the text of a JSON object or array."),
]
Seconds = Annotated[
    float | None, Field(description="Forget it after so many seconds; null keeps it.")
]


def never_cache(_arguments: Any = None, _result: Any = None) -> bool:
    """CrewAI asks whether a result may be reused: memory changes, so never.

    A function of the module, because CrewAI writes its dotted path into checkpoints.
    """
    return False


def as_json(given: Any) -> Json:
    """What a model wrote as the value to store.

    >>> as_json("1.10"), as_json('{"a": 1.10}')
    ('"1.10"', '{"a": 1.10}')
    """
    if isinstance(given, str) and given.lstrip()[:1] in ("{", "["):
        try:
            return check(given)
        except InvalidValue:
            pass  # it only looks like JSON, and text may
    return encode(given)


def _environment() -> list[EnvVar]:
    return [
        EnvVar(name="BOTWIRE_URL", description="Where the memory is.", required=False),
        EnvVar(name="BOTWIRE_API_KEY", description="Key of the server.", required=False),
    ]


class MemoryTool(BaseTool):
    """A tool over one namespace. A subclass says what it asks (`args_schema`) and answers."""

    namespace: str
    url: Url = None
    api_key: ApiKey = None
    timeout: float = 30.0
    ttl: float | None = None
    cache_function: SerializableCallable = Field(default=never_cache)
    max_usage_count: int | None = UNLIMITED
    env_vars: list[EnvVar] = Field(default_factory=_environment)
    _memory: Memory = PrivateAttr()

    def model_post_init(self, context: Any, /) -> None:
        super().model_post_init(context)
        self._memory = open_memory(self.namespace, self.url, self.api_key, self.timeout)

    def _run(self, *values: Any, **arguments: Any) -> Any:
        named = dict(zip(self.args_schema.model_fields, values, strict=False))
        try:
            return self.answer(self._memory, self.args_schema(**named, **arguments))
        except BotWireError as error:
            return failure(error)

    async def _arun(self, *values: Any, **arguments: Any) -> Any:
        return await asyncio.to_thread(self._run, *values, **arguments)

    def answer(self, memory: Memory, asked: Any) -> str:
        """What the model reads. `asked` is an instance of `args_schema`."""
        raise NotImplementedError

    def lifetime(self, seconds: float | None) -> float | None:
        return self.ttl if seconds is None else seconds

    def nothing(self, key: str) -> str:
        return f"Nothing is remembered under {key!r} in memory {self.namespace!r}."
