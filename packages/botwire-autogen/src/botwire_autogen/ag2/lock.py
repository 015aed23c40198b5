"""`BotWireLock`: a lock that processes share, for AG2's `LockedKnowledgeStore` and others.

A lock is a key that only one can create; it expires, so that a process that dies does not keep it.
"""

import asyncio
import logging
import random
import time
from collections import defaultdict, deque

from botwire import AsyncMemory, Conflict

__all__ = ["BotWireLock"]

logger = logging.getLogger("botwire_autogen")
SHORTEST, LONGEST = 0.005, 0.25  # seconds between two tries


class BotWireLock:
    """Locks by name.

    Args:
        memory: a namespace, or the memory to use.
        wait: seconds `acquire` waits for a lock that another holds.

    >>> lock = BotWireLock(AsyncMemory("team", url="memory://"))
    >>> asyncio.run(lock.acquire("report", ttl=30.0))
    True
    """

    def __init__(self, memory: AsyncMemory | str, *, wait: float = 10.0) -> None:
        self._memory = AsyncMemory(memory) if isinstance(memory, str) else memory
        self._wait = wait
        # By name, the versions of those who hold it and of those whose time ran out before.
        self._held: defaultdict[str, deque[int]] = defaultdict(deque)

    async def acquire(self, name: str, ttl: float = 30.0) -> bool:
        """Take the lock; False if another held it all the time.

        Args:
            ttl: seconds after which it is free again even if nobody releases it.
        """
        deadline, pause = time.monotonic() + self._wait, SHORTEST
        while True:
            try:
                version = await self._memory.set(_key(name), True, ttl=ttl, if_version=0)
            except Conflict:
                if time.monotonic() >= deadline:
                    return False
            else:
                self._held[name].append(version)
                return True
            await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311  spreads the tries
            pause = min(2 * pause, LONGEST)

    async def release(self, name: str) -> None:
        """Give the lock back. One that had expired is not taken from whoever holds it now."""
        held = self._held[name]
        if not held:
            return
        # The oldest first: whoever releases, the last one that is held stays until all have.
        version = held.popleft()
        try:
            await self._memory.delete(_key(name), if_version=version)
        except Conflict:
            logger.warning("the lock %r had expired before it was released", name)


def _key(name: str) -> str:
    return f"lock/{name}"
