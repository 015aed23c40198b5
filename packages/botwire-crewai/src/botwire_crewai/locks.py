"""`botwire_lock_backend`: CrewAI's locks, held across processes and machines.

- A lock is an entry that must not exist to be written; it carries the name of its holder.
- It lives for a lease and is renewed while it is held, so that one whose holder died ends by
  itself. Each renewal replaces the version it knows: who lost the lock cannot renew it.
- Not reentrant, like CrewAI's own.
"""

import hashlib
import logging
import os
import random
import socket
import threading
import time
import uuid
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from pydantic import SecretStr

from botwire import BotWireError, Conflict, Memory
from botwire.errors import Busy, InvalidKey, Unavailable
from botwire.operations import Head
from botwire_crewai.place import open_memory

__all__ = ["botwire_lock_backend"]

logger = logging.getLogger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 0.005, 0.25  # seconds between two looks at a lock of somebody else's


def botwire_lock_backend(
    namespace: str = "crewai-locks",
    *,
    lease: float = 30.0,
    url: str | None = None,
    api_key: str | None = None,
) -> Callable[..., AbstractContextManager[None]]:
    """A backend for `crewai_core.lock_store.set_lock_backend`.

    Args:
        namespace: where the locks are; those of one namespace exclude each other.
        lease: seconds after which the lock of a process that died is free.
        url, api_key: as for `botwire.Memory`.

    The locks raise `botwire.errors.Busy` when they are not free within CrewAI's `timeout`, and
    `botwire.Conflict` at the end of the block if the lock was lost while it ran (its process was
    asleep, or cut off, for longer than the lease).

    >>> lock = botwire_lock_backend(url="memory://")
    >>> with lock("lancedb:/data", timeout=5):
    ...     pass
    """
    key = SecretStr(api_key) if api_key else None
    memory = open_memory(namespace, url, key, timeout=max(lease / 3, 1.0))

    @contextmanager
    def lock(name: str, *, timeout: float = 120.0) -> Generator[None]:
        held = _Lease(memory, _key(name), lease)
        held.acquire(name, timeout)
        try:
            yield
        finally:
            held.release()

    return lock


def _key(name: str) -> str:
    """A name as a key: itself, or its digest where it cannot be one."""
    try:
        return Head("any", f"lock/{name}").key
    except InvalidKey:
        return f"lock/sha256:{hashlib.sha256(name.encode(errors='surrogatepass')).hexdigest()}"


class _Lease:
    """One lock that is held, or about to be."""

    def __init__(self, memory: Memory, key: str, seconds: float) -> None:
        self._memory = memory
        self._key = key
        self._seconds = seconds
        self._version = 0
        self._over = threading.Event()
        self._renewing = threading.Thread(target=self._renew, daemon=True, name=f"renew {key}")
        self._mine = {
            "holder": uuid.uuid4().hex,
            "host": socket.gethostname(),
            "process": os.getpid(),
            "thread": threading.current_thread().name,
        }

    def acquire(self, name: str, timeout: float) -> None:
        deadline, pause = time.monotonic() + timeout, FIRST_PAUSE
        while True:
            try:
                self._as_known(self._write)
            except Conflict as conflict:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise _busy(name, timeout, conflict.current_value) from None
                time.sleep(min(left, pause * random.uniform(0.5, 1)))  # noqa: S311  no secret
                pause = min(2 * pause, LONGEST_PAUSE)
            else:
                self._renewing.start()
                return

    def release(self) -> None:
        """Free the lock, or say that it was lost meanwhile."""
        self._over.set()
        self._renewing.join()
        try:
            self._as_known(lambda: self._memory.delete(self._key, if_version=self._version))
        except Conflict as conflict:
            raise Conflict(
                f"{self._key!r} was lost while it was held: it was not renewed in time",
                hint="Raise `lease`, and check what was done meanwhile.",
                **conflict.fields,
            ) from None
        except Unavailable as error:
            logger.warning("%s ends with its lease, in %g s: %s", self._key, self._seconds, error)

    def _write(self) -> None:
        self._version = self._memory.set(
            self._key, self._mine, ttl=self._seconds, if_version=self._version
        )

    def _as_known(self, change: Callable[[], object]) -> None:
        """Change the lock if it is as this lease knows it."""
        try:
            change()
        except Conflict as conflict:
            if conflict.current_value != self._mine:
                raise
            # It is ours: the answer to a renewal was lost on the way, and with it the version.
            self._version = conflict.current_version
            change()

    def _renew(self) -> None:
        while not self._over.wait(self._seconds / 3):
            try:
                self._as_known(self._write)
            except Conflict:
                return  # lost; `release` says so
            except BotWireError as error:  # there is time to try again before the lease ends
                logger.warning("%s was not renewed: %s", self._key, error)


def _busy(name: str, timeout: float, who: Any) -> Busy:
    return Busy(
        f"the lock {name!r} was not free within {timeout:g} s; process {who.get('process')} on "
        f"{who.get('host')} holds it",
        hint="Wait for that process, or for its lease to end if it died.",
    )
