"""`BotWireCheckpointProvider`: checkpoints of crews and flows that another machine finds.

CrewAI accepts only its own providers and restores only from local files. So this one is a
`JsonProvider` to it, and `restore` hands it the checkpoint as a temporary file.

Keys: `<location>/<branch>/<id>`, each part percent-encoded. They are told apart by their place and
ordered by the version they were written with.
"""

import asyncio
import tempfile
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from crewai import Crew
from crewai.state import CheckpointConfig, JsonProvider
from pydantic import PrivateAttr

from botwire import Entry, Memory
from botwire.errors import NotFound
from botwire.jsontext import decode, encode
from botwire_crewai.place import ApiKey, Url, open_memory
from botwire_crewai.plain import plain, without_secrets
from botwire_crewai.steady import steady_records

__all__ = ["BotWireCheckpointProvider"]

LOCATION = "./.checkpoints"  # where CrewAI puts them unless it is told
SCHEME = "botwire://"


class BotWireCheckpointProvider(JsonProvider):
    """Keeps checkpoints in BotWire, without the API keys that CrewAI writes into them.

    Args:
        namespace: where they are; also as the only positional argument.
        url, api_key, timeout: as for `botwire.Memory`.
        ttl: seconds a checkpoint is kept.

    >>> provider = BotWireCheckpointProvider("checkpoints", url="memory://")
    >>> config = CheckpointConfig(provider=provider, location="research", max_checkpoints=5)
    """

    namespace: str
    url: Url = None
    api_key: ApiKey = None
    timeout: float = 30.0
    ttl: float | None = None
    _memory: Memory = PrivateAttr()

    def __init__(self, namespace: str | None = None, /, **settings: Any) -> None:
        super().__init__(**({} if namespace is None else {"namespace": namespace}), **settings)

    def model_post_init(self, context: Any, /) -> None:
        steady_records()
        self._memory = open_memory(self.namespace, self.url, self.api_key, self.timeout)

    # -- what CrewAI calls -----------------------------------------------------------------------

    def checkpoint(
        self, data: str, location: str, *, parent_id: str | None = None, branch: str = "main"
    ) -> str:
        """Write a checkpoint and return where it is.

        Raises:
            BotWireError: it could not be written (CrewAI logs that and goes on).
        """
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
        key = f"{_under(location, branch)}{stamp}_{uuid.uuid4().hex[:8]}"
        self._memory.set(key, without_secrets(plain(decode(data))), ttl=self.ttl)
        return self._locate(key)

    async def acheckpoint(
        self, data: str, location: str, *, parent_id: str | None = None, branch: str = "main"
    ) -> str:
        """`checkpoint`, for asynchronous code."""
        return await asyncio.to_thread(
            self.checkpoint, data, location, parent_id=parent_id, branch=branch
        )

    def prune(self, location: str, max_keep: int, *, branch: str = "main") -> int:
        """Delete all but the newest `max_keep` checkpoints of a branch; how many."""
        entries = self._entries(location, branch)
        return self._memory.delete_many(entry.key for entry in entries[max_keep:])

    def extract_id(self, location: str) -> str:
        """The id in what `checkpoint` returned."""
        return location.rpartition("/")[2]

    def from_checkpoint(self, location: str) -> str:
        """A checkpoint as JSON text.

        Raises:
            NotFound: there is none (any more).
        """
        return encode(self._memory[self._key(location)])

    async def afrom_checkpoint(self, location: str) -> str:
        """`from_checkpoint`, for asynchronous code."""
        return await asyncio.to_thread(self.from_checkpoint, location)

    # -- what you call -----------------------------------------------------------------------------

    def list_checkpoints(self, location: str = LOCATION, *, branch: str = "main") -> list[str]:
        """Where the checkpoints of a branch are, newest first."""
        return [self._locate(entry.key) for entry in self._entries(location, branch)]

    def branches(self, location: str = LOCATION) -> list[str]:
        """The branches that have checkpoints, in order."""
        start = f"{quote(location, safe='')}/"
        keys = self._memory.list_keys(start)
        return sorted({unquote(key[len(start) :].partition("/")[0]) for key in keys})

    def restore_crew(self, location: str | None = None, *, fork: str | None = None) -> Crew:
        """A crew as it was at a checkpoint; `kickoff()` goes on behind its last finished task.

        It goes on writing its checkpoints here. API keys come from the environment.

        Args:
            location: what `checkpoint` returned or `list_checkpoints` shows; or where a crew was
                told to put its checkpoints: the newest on "main" is taken then.
            fork: go on in a branch of this name and leave the checkpoint's own as it is.

        Raises:
            NotFound: there is no such checkpoint.
        """
        return self.restore(Crew, location, fork=fork)

    def restore(self, kind: Any, location: str | None = None, *, fork: str | None = None) -> Any:
        """The same for any of CrewAI's kinds: `restore(MyFlow)`, `restore(Agent)`.

        A flow has lost its checkpoint settings; set `flow.checkpoint` anew.
        """
        found = self._found(location or LOCATION)
        text = self.from_checkpoint(found)
        name = f"{self.extract_id(found)}_p-{decode(text).get('parent_id') or 'none'}.json"
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, name)  # CrewAI reads the lineage from it
            file.write_text(text, "utf-8")
            config = CheckpointConfig(restore_from=file)
            made = kind.from_checkpoint(config) if fork is None else kind.fork(config, fork)
        if isinstance(made.checkpoint, CheckpointConfig):  # with a provider of CrewAI's own
            made.checkpoint = made.checkpoint.model_copy(update={"provider": self})
        return made

    # -- where -------------------------------------------------------------------------------------

    def _found(self, location: str) -> str:
        if location.startswith(SCHEME):
            return location
        for found in self.list_checkpoints(location):
            return found
        raise NotFound(
            f"there is no checkpoint at {location!r} in {self.namespace!r}",
            hint=f"Branches there: {', '.join(self.branches(location)) or 'none'}.",
        )

    def _entries(self, location: str, branch: str) -> list[Entry]:
        entries = self._memory.entries(_under(location, branch), values=False)
        return sorted(entries, key=lambda entry: entry.version, reverse=True)

    def _locate(self, key: str) -> str:
        return f"{SCHEME}{quote(self.namespace, safe='')}/{key}"

    def _key(self, location: str) -> str:
        namespace, found, key = location.removeprefix(SCHEME).partition("/")
        if not found or unquote(namespace) != self.namespace:
            raise NotFound(
                f"{location!r} is no checkpoint in {self.namespace!r}",
                hint="Use what list_checkpoints() shows.",
            )
        return key


def _under(location: str, branch: str) -> str:
    return f"{quote(location, safe='')}/{quote(branch, safe='')}/"
