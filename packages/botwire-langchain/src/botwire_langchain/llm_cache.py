"""`BotWireCache`: what models answered, for `set_llm_cache` and `model(cache=...)`."""

import logging
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

from langchain_core.caches import BaseCache
from langchain_core.outputs import (
    ChatGeneration,
    ChatGenerationChunk,
    Generation,
    GenerationChunk,
)

from botwire import AsyncMemory, Memory
from botwire.errors import InvalidRequest
from botwire.jsontext import Json
from botwire.operations import MISSING, Clear, Get, Set
from botwire_langchain.faces import Faces
from botwire_langchain.messages import message_record, read_messages
from botwire_langchain.plain import untag, wrap

__all__ = ["BotWireCache"]

logger = logging.getLogger(__name__)

_kinds: dict[str, Any] = {
    kind.__name__: kind
    for kind in (Generation, GenerationChunk, ChatGeneration, ChatGenerationChunk)
}


class BotWireCache(BaseCache):
    """Keeps the answers of models, every field of them. Prompts are kept as hashes only.

    An answer that holds what is no data is not cached, and a warning is logged.

    Args:
        namespace: where the answers are kept; `clear` empties it.
        url: `sqlite:///memory.db` or a server; without it BOTWIRE_URL, then the hosted service.
        api_key: for servers that want one; without it BOTWIRE_API_KEY.
        memory: a Memory or AsyncMemory to use instead of the three above.
        ttl: seconds an answer is kept.

    >>> cache = BotWireCache(url="memory://", ttl=3600)
    >>> cache.update("2 + 2?", "model", [Generation(text="4")])
    >>> cache.lookup("2 + 2?", "model")
    [Generation(text='4')]
    """

    def __init__(
        self,
        *,
        namespace: str = "llm-cache",
        url: str | None = None,
        api_key: str | None = None,
        memory: Memory | AsyncMemory | None = None,
        ttl: float | None = None,
    ) -> None:
        self._faces = Faces(memory, namespace, url, api_key)
        self.ttl = ttl
        self._set("", "", [])  # refuses what is no time to live

    def lookup(self, prompt: str, llm_string: str) -> Sequence[Generation] | None:
        """What the model with these settings answered to the prompt, or None."""
        return _read(self._faces.sync.run(self._get(prompt, llm_string)))

    async def alookup(self, prompt: str, llm_string: str) -> Sequence[Generation] | None:
        return _read(await self._faces.awaited.run(self._get(prompt, llm_string)))

    def update(self, prompt: str, llm_string: str, return_val: Sequence[Generation]) -> None:
        """Keep an answer."""
        if operation := self._cached(prompt, llm_string, return_val):
            self._faces.sync.run(operation)

    async def aupdate(self, prompt: str, llm_string: str, return_val: Sequence[Generation]) -> None:
        if operation := self._cached(prompt, llm_string, return_val):
            await self._faces.awaited.run(operation)

    def _cached(self, prompt: str, llm_string: str, answers: Sequence[Generation]) -> Set | None:
        try:
            return self._set(prompt, llm_string, answers)
        except InvalidRequest as error:  # the answer itself is good, so the caller gets it
            logger.warning("not cached: %s", error)
            return None

    def clear(self, **kwargs: Any) -> None:
        """Forget all answers."""
        self._faces.sync.run(Clear(self._faces.namespace))

    async def aclear(self, **kwargs: Any) -> None:
        await self._faces.awaited.run(Clear(self._faces.namespace))

    def _get(self, prompt: str, llm_string: str) -> Get:
        return Get(self._faces.namespace, _key(prompt, llm_string))

    def _set(self, prompt: str, llm_string: str, answers: Sequence[Generation]) -> Set:
        records = Json(f"[{','.join(map(_record, answers))}]")
        return Set(self._faces.namespace, _key(prompt, llm_string), records, self.ttl)


def _key(prompt: str, llm_string: str) -> str:
    digest = sha256()
    for part in (prompt, llm_string):
        data = part.encode("utf-8", "surrogatepass")
        digest.update(b"%d:%b" % (len(data), data))
    return digest.hexdigest()


def _record(answer: Generation) -> Json:
    """An answer as JSON: nothing needs to be imported by name to read it again."""
    record: dict[str, Any] = {"kind": type(answer).__name__, "info": answer.generation_info}
    if isinstance(answer, ChatGeneration):
        record["message"] = message_record(answer.message)
    else:
        record["text"] = answer.text
    if record["kind"] not in _kinds:
        raise InvalidRequest(f"an answer of class {record['kind']} cannot be read back")
    return wrap(record, "info")


def _answer(record: dict[str, Any]) -> Generation:
    info = untag(record["$info"]) if "$info" in record else record["info"]
    kind = _kinds[record["kind"]]
    if "message" in record:
        return kind(message=read_messages([record["message"]])[0], generation_info=info)
    return kind(text=record["text"], generation_info=info)


def _read(records: Any) -> Sequence[Generation] | None:
    return None if records is MISSING else list(map(_answer, records))
