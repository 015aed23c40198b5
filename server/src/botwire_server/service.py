"""What every request passes on its way to the store: the key, the limits, the right thread.

Small reads run in line on the event loop, which is cheaper than handing them to a thread, or in
groups where the store is across a network; whatever needs a snapshot or may be large runs in a
thread; writes go through the group-committing writer.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from hashlib import sha256
from typing import Any, Final

from botwire.errors import BotWireError, Forbidden, InvalidRequest
from botwire.operations import Operation, Usage
from botwire.stores.base import Escalate, Mode
from botwire.stores.store import Once, Store, Ticket
from botwire_server.answers import Headers
from botwire_server.gather import GroupReader
from botwire_server.keys import Key, KeyFile
from botwire_server.metrics import Metrics
from botwire_server.requests import Request
from botwire_server.settings import LOOPBACK, Settings
from botwire_server.steps import Done, Taking
from botwire_server.tasks import Tasks
from botwire_server.turn import TurnReader
from botwire_server.writer import Writer

__all__ = ["LATER", "Service"]

LATER: Final = object()  # what is no reply
DAY = 86400
SWEEP_SECONDS = 60.0
KEY_LENGTH = 255

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
        self._together = store.reads_together
        self._tasks = Tasks()
        self._guards_host = self.keys is None and not settings.open
        self._good_hosts: set[bytes] = set()
        self.has_quotas = bool(store.limits.writes_per_day or store.limits.namespace_bytes)

    def at_once(self, operation: Operation, request: Request) -> Any:
        """The reply, for the caller of a request that was admitted; LATER if it takes waiting."""
        if request.key is not None:
            request.key.check(operation)
        if operation.mode is not Mode.POINT or not self.store.reads_in_line:
            return LATER
        try:
            return self.reader.read(operation)
        except Escalate:  # large, in chunks, or sliding
            return LATER

    def submit(self, operation: Operation, request: Request, done: Done) -> None:
        """Apply an operation for which `at_once` said LATER; `done` gets its settled ticket."""
        if operation.mode is Mode.WRITE:
            key = request.headers.get(b"idempotency-key")
            self.writer.submit(
                Ticket(operation, _once(key, request) if key is not None else None), done
            )
        elif operation.mode is Mode.POINT and self._together and len(operation.keys) == 1:
            self.gathering.submit(Ticket(operation), partial(self._escalate, done))
        else:
            self._read_in_thread(operation, operation.mode, done)

    async def run(self, operation: Operation, request: Request) -> Any:
        """The reply to an operation, whatever it takes."""
        reply = self.at_once(operation, request)
        if reply is not LATER:
            return reply
        settled: asyncio.Future[Ticket] = asyncio.get_running_loop().create_future()
        self.submit(operation, request, partial(_settle, settled))
        return (await settled).result()

    def _escalate(self, done: Done, ticket: Ticket) -> None:
        """Hand on what is settled; what met `Escalate` goes on in the mode that it needs."""
        needed = ticket.error
        if not isinstance(needed, Escalate):
            done(ticket)
        elif needed.mode is Mode.WRITE:  # a sliding entry: reading it is writing
            self.writer.submit(Ticket(ticket.operation), done)
        else:
            self._read_in_thread(ticket.operation, needed.mode, done)

    def _read_in_thread(self, operation: Operation, mode: Mode, done: Done) -> None:
        self._tasks.start(self._read(Ticket(operation), mode, done))

    async def _read(self, ticket: Ticket, mode: Mode, done: Done) -> None:
        try:
            ticket.reply = await asyncio.to_thread(self.store.read, ticket.operation, mode)
        except Exception as error:
            ticket.fail(error)
        self._escalate(done, ticket)

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

    def quota_headers(self, namespace: str) -> Taking[Headers]:
        """RateLimit fields (draft-ietf-httpapi-ratelimit-headers) of a namespace with quotas."""
        operation = Usage(namespace)
        try:
            usage = operation.result((yield operation))
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
        await self.gathering.close()
        await self._tasks.finish()
        await self.writer.close()
        self.reader.end()
        await asyncio.to_thread(self.store.close)


def _host_name(host: str) -> str:
    """The name in a Host header, without port and brackets."""
    return host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]


def _settle(settled: "asyncio.Future[Ticket]", ticket: Ticket) -> None:
    if not settled.done():  # else the caller went away
        settled.set_result(ticket)


def _once(key: bytes, request: Request) -> Once:
    """The idempotency key (its quotes are optional) with a fingerprint of the whole request."""
    text = key.decode("latin-1").strip('"')
    if not 0 < len(text) <= KEY_LENGTH:
        raise InvalidRequest(
            f"the idempotency key has {len(text)} characters; 1 to {KEY_LENGTH} are possible",
            hint="Send a new UUID with each request, and the same one only to repeat it.",
        )
    conditions = [request.headers.get(name, b"") for name in (b"if-match", b"if-none-match")]
    parts = (request.method.encode(), request.path, *conditions, request.body or b"")
    return Once(text, sha256(b"\n".join(parts)).hexdigest())
