"""The short way: entries and operations as a plain ASGI endpoint in front of FastAPI.

FastAPI's request machinery costs several times what these requests do, so they do not pass through
it; everything else does. Both run the same operations. Whatever goes wrong here becomes a problem
that says so; values never enter a log.
"""

import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from botwire.errors import BotWireError
from botwire.jsontext import write
from botwire.operations import OPERATIONS, parse
from botwire_server.answers import JSON, PRIVATE, Answer, problem_answer
from botwire_server.entries import MethodNotAllowed, serve_entry, serve_listing, split_path
from botwire_server.protocol import respond
from botwire_server.requests import ClientGone, Receive, Request, Scope
from botwire_server.service import Service
from botwire_server.tracing import RequestSpans

__all__ = ["Front"]

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

log = logging.getLogger("botwire.server")


class Front:
    """The ASGI application: serves `/memory/` and `/v1/` itself and hands on the rest."""

    def __init__(self, service: Service, app: App) -> None:
        self.service = service
        self._app = app
        self._limit = service.settings.request_bytes
        self._spans = RequestSpans(service.settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["raw_path"].startswith((b"/v1/", b"/memory/")):
            await self._serve(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        request = Request(scope, receive, self._limit)
        label = "memory"
        try:
            request.key = self.service.admit(request.headers)
            if request.path.startswith(b"/v1/"):
                label, answer = await self._operation(request)
            else:
                answer = await self._path(request)
        except ClientGone:
            return
        except BotWireError as error:
            answer = problem_answer(error)
        except Exception:
            self.service.metrics.failures += 1
            log.exception("unexpected error in %s %s", request.method, label)
            answer = problem_answer(
                BotWireError(
                    "the server met an error it did not expect", hint="See the server's log."
                )
            )
        await _send(scope, send, request.method, answer)
        seconds = time.perf_counter() - started
        self.service.metrics.count(label, answer.status, seconds)
        self._spans.record(request, label, answer.status, seconds)
        if self.service.settings.access_log:
            log.info(
                "request",
                extra={
                    "operation": label,
                    "method": request.method,
                    "status": answer.status,
                    "seconds": round(seconds, 6),
                },
            )

    async def _operation(self, request: Request) -> tuple[str, Answer]:
        name = request.path[4:].decode("latin-1")
        label = name if name in OPERATIONS else "unknown"
        try:
            if request.method != "POST":
                raise MethodNotAllowed("operations are sent with POST", hint=f"POST /v1/{label}")
            operation = parse(name, await request.text())
            reply = await self.service.run(operation, request)
        except BotWireError as error:
            return label, problem_answer(error)
        answer = Answer(200, [JSON, *PRIVATE], write(reply).encode())
        if self.service.has_quotas:
            answer.headers.extend(await self.service.quota_headers(operation.namespace))
        return label, answer

    async def _path(self, request: Request) -> Answer:
        namespace, key = split_path(request.path)
        try:
            if key:
                answer = await serve_entry(self.service, request, namespace, key)
            else:
                answer = await serve_listing(self.service, request, namespace)
        except BotWireError as error:
            answer = problem_answer(error)
        if self.service.has_quotas and answer.status not in (401, 403, 422):
            answer.headers.extend(await self.service.quota_headers(namespace))
        return answer


async def _send(scope: Scope, send: Send, method: str, answer: Answer) -> None:
    if answer.status != 304:
        answer.headers.append((b"content-length", b"%d" % len(answer.body)))
    body = b"" if method == "HEAD" else answer.body
    cycle = scope.get("botwire.cycle")
    if cycle is not None and respond(cycle, answer.status, answer.headers, body):
        return
    await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
    await send({"type": "http.response.body", "body": body})
