"""What every request passes on its way to the store: the key, the limits, the right thread.

Small reads run in line on the event loop, which is cheaper than handing them to a thread, or in
groups where the store is across a network; whatever needs a snapshot or may be large runs in a
thread; writes go through the group-committing writer.
"""

import asyncio
import hashlib
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from botwire.errors import BotWireError, Forbidden
from botwire.jsontext import write
from botwire.operations import Operation, Usage
from botwire.stores.base import Escalate, Mode
from botwire.stores.store import Once, Store
from botwire_server.gather import GroupReader
from botwire_server.keys import Key, KeyFile
from botwire_server.metrics import Metrics
from botwire_server.requests import Request
from botwire_server.settings import LOOPBACK, Settings
from botwire_server.turn import TurnReader
from botwire_server.writer import Writer

__all__ = ["Service"]

DAY = 86400
SWEEP_SECONDS = 60.0

log = logging.getLogger("botwire.server")


class Service:
    """A store with everything the server puts in front of it."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self.store = store
        self.settings = settings
        self.metrics = Metrics()
        self.keys = KeyFile(settings.api_keys) if settings.api_keys else None
        self.reader = TurnReader(store)
        self.gathering = GroupReader(store)
        self.writer = Writer(store, self.metrics, self.reader.end)
        self._guards_host = self.keys is None and not settings.open
        self._good_hosts: set[bytes] = set()
        self.has_quotas = bool(store.limits.writes_per_day or store.limits.namespace_bytes)

    async def run(self, operation: Operation, request: Request) -> Any:
        """Apply an operation for the caller of a request that was admitted."""
        if request.key is not None:
            request.key.check(operation)
        if operation.mode is not Mode.WRITE:
            try:
                return await self._read(operation)
            except Escalate:  # a sliding entry: reading it is writing
                return await self.writer.write(operation)
        key = request.headers.get(b"idempotency-key")
        return await self.writer.write(operation, _once(key, operation) if key else None)

    def admit(self, headers: dict[bytes, bytes]) -> Key | None:
        """The API key of a caller, if keys are in use; refuses a caller that has none."""
        if self.keys is not None:
            return self.keys.find(headers.get(b"authorization"))
        host = headers.get(b"host", b"")
        if self._guards_host and host not in self._good_hosts:
            self._check_host(host)
        return None

    def _check_host(self, host: bytes) -> None:
        """A web page may point a name of its own at this machine; only this machine's count."""
        name = _host_name(host.decode("latin-1"))
        if name not in ("", *LOOPBACK):
            raise Forbidden(
                f"called as {name[:99]!r}, but without API keys it serves this machine only",
                hint="Call it as http://127.0.0.1 or localhost, or start it with --api-keys.",
            )
        if len(self._good_hosts) < 100:
            self._good_hosts.add(host)

    async def _read(self, operation: Operation) -> Any:
        mode = operation.mode
        if mode is Mode.POINT:
            try:
                if self.store.reads_in_line:
                    return self.reader.read(operation)
                if self.store.reads_together and len(operation.keys) == 1:
                    return await self.gathering.read(operation)
            except Escalate as needed:  # large, in chunks, or sliding
                if needed.mode is Mode.WRITE:
                    raise
                mode = needed.mode
        return await asyncio.to_thread(_read_in_thread, self.store, operation, mode)

    async def quota_headers(self, namespace: str) -> list[tuple[bytes, bytes]]:
        """RateLimit fields (draft-ietf-httpapi-ratelimit-headers) of a namespace with quotas."""
        operation = Usage(namespace)
        try:
            usage = operation.result(
                await asyncio.to_thread(self.store.read, operation, operation.mode)
            )
        except BotWireError:
            return []  # the answer itself stands; without the store there is nothing to add to it
        policies: list[str] = []
        states: list[str] = []
        if usage.writes_per_day:
            policies.append(f'"writes";q={usage.writes_per_day};w={DAY}')
            left = max(usage.writes_per_day - usage.writes_today, 0)
            states.append(f'"writes";r={left};t={int(usage.resets_in) + 1}')
        if usage.namespace_bytes:
            policies.append(f'"storage";q={usage.namespace_bytes};qu="content-bytes"')
            states.append(f'"storage";r={max(usage.namespace_bytes - usage.bytes, 0)}')
        return [
            (b"ratelimit-policy", ", ".join(policies).encode()),
            (b"ratelimit", ", ".join(states).encode()),
        ]

    @asynccontextmanager
    async def sweeping(self) -> AsyncGenerator[None]:
        """Free the space of what expired, now and then, also while nobody writes."""
        task = asyncio.create_task(self._sweep())
        try:
            yield
        finally:
            task.cancel()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            try:
                await asyncio.to_thread(self.store.sweep)
            except BotWireError as error:
                log.warning("sweeping failed", extra={"problem": error.detail})

    async def close(self) -> None:
        """Finish the writes that were taken on, then close the store."""
        await self.writer.close()
        self.reader.end()
        await self.gathering.close()
        await asyncio.to_thread(self.store.close)


def _host_name(host: str) -> str:
    """The name in a Host header, without port and brackets."""
    return host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]


def _read_in_thread(store: Store, operation: Operation, mode: Mode) -> Any:
    try:
        return store.read(operation, mode)
    except Escalate as needed:
        if needed.mode is Mode.WRITE:
            raise
        return store.read(operation, needed.mode)


def _once(key: bytes, operation: Operation) -> Once:
    """The idempotency key with a fingerprint of what it stands for (its quotes are optional)."""
    request = f"{operation.name} {write(operation.request())}"
    return Once(
        key.decode("latin-1").strip('"')[:255], hashlib.sha256(request.encode()).hexdigest()
    )
