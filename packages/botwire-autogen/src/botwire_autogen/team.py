"""Saving and loading teams (and agents): the state AutoGen gives out, under a key, with a version.

A state is written when it is saved and not before. `BotWireChatCompletionContext` stores each
message at once; together they lose nothing when a process dies within a run.
"""

from collections.abc import Mapping
from typing import Any, Protocol

from botwire import AsyncMemory

__all__ = ["load_team", "save_team"]


class Stateful(Protocol):
    """What has a state: teams and agents of autogen."""

    async def save_state(self) -> Mapping[str, Any]: ...
    async def load_state(self, state: Mapping[str, Any]) -> None: ...


async def save_team(
    team: Stateful,
    memory: AsyncMemory,
    key: str = "team",
    *,
    ttl: float | None = None,
    if_version: int | None = None,
) -> int:
    """Store the state of a team or agent and return its version.

    Args:
        ttl: seconds it is kept; without it for ever.
        if_version: store it only if what is stored is at this version (0: if nothing is), so that
            two workers with one team notice each other.

    Raises:
        Conflict: somebody else saved the team since.
        InvalidValue: an agent of the team has a state that is not JSON.

    >>> version = await save_team(team, AsyncMemory("support"))  # doctest: +SKIP
    """
    state = dict(await team.save_state())
    return await memory.set(key, state, ttl=ttl, if_version=if_version)


async def load_team(team: Stateful, memory: AsyncMemory, key: str = "team") -> int:
    """Give a team or agent its stored state; the version of that, or 0 if none is stored.

    Raises:
        ValueError, RuntimeError: the team has other agents, or is running (see autogen).
    """
    entry = await memory.entry(key)
    if entry is None:
        return 0
    await team.load_state(entry.value)
    return entry.version
