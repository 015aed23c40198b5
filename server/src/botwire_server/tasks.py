"""Tasks that run beside whoever started them, until a server ends."""

import asyncio
from collections.abc import Coroutine
from typing import Any

__all__ = ["Tasks"]


class Tasks:
    """Tasks under way. They are held here, since the event loop holds them only weakly.

    >>> async def main() -> int:
    ...     tasks = Tasks()
    ...     tasks.start(asyncio.sleep(0))
    ...     await tasks.finish()
    ...     return len(tasks)
    >>> asyncio.run(main())
    0
    """

    __slots__ = ("_tasks",)

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def finish(self) -> None:
        """Wait until none is left, those included that are started meanwhile."""
        while self._tasks:
            # Not `gather`: of tasks that have ended it returns at once in Python 3.14, so that the
            # loop never comes to take them out of the set.
            await asyncio.wait(self._tasks)
