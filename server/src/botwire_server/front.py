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
from botwire_server.requests import ClientGone, Receive, Request, Scope, read_body
from botwire_server.service import Service
from botwire_server.steps import BODY, Step, Steps
from botwire_server.tracing import RequestSpans

__all__ = ["PATHS", "Front"]

PATHS = (b"/v1/", b"/memory/")

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

log = logging.getLogger("botwire.server")


class Front:
    """The ASGI application: serves `/memory/` and `/v1/` itself and hands on the rest."""

    def __init__(self, service: Service, app: App) -> None:
        self.service = service
        self.limit = service.settings.request_bytes
        self._app = app
        self._conditional = service.settings.require_conditions
        self._spans = RequestSpans(service.settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["raw_path"].startswith(PATHS):
            await self._app(scope, receive, send)
            return
        request = Request.of(scope, self.limit)
        try:
            answer = await self._answer(request, receive)
        except ClientGone:
            return
        status, headers, body = answer
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, request: Request, receive: Receive) -> Answer:
        """Take all steps, and wait for each."""
        steps = self.steps(request)
        go_on: Callable[[Any], Step] = steps.send
        value: Any = None
        try:
            while True:
                step = go_on(value)
                try:
                    go_on, value = steps.send, await self._take(step, request, receive)
                except Exception as error:
                    go_on, value = steps.throw, error
        except StopIteration as end:
            return end.value

    async def _take(self, step: Step, request: Request, receive: Receive) -> Any:
        if step is BODY:
            return await read_body(request, receive)
        return await self.service.run(step, request)

    def steps(self, request: Request) -> Steps:
        """All it takes to answer a request to one of the `PATHS`.

        Raises:
            ClientGone: when that was sent for the body.
        """
        started = time.perf_counter()
        name = request.path[4:].decode("latin-1") if request.path.startswith(b"/v1/") else None
        label = "memory" if name is None else name if name in OPERATIONS else "unknown"
        try:
            request.key = self.service.admit(request.headers)
            if name is None:
                answer = yield from self._path(request)
            else:
                answer = yield from self._operation(request, name)
        except BotWireError as error:
            answer = problem_answer(error)
        except ClientGone:
            raise
        except Exception:
            self.service.metrics.failures += 1
            log.exception("unexpected error in %s %s", request.method, label)
            answer = problem_answer(
                BotWireError(
                    "the server met an error it did not expect", hint="See the server's log."
                )
            )
        self._note(request, label, answer.status, time.perf_counter() - started)
        return answer.complete(request.method)

    def _note(self, request: Request, label: str, status: int, seconds: float) -> None:
        self.service.metrics.count(label, status, seconds)
        self._spans.record(request, label, status, seconds)
        if self.service.settings.access_log:
            log.info(
                "request",
                extra={
                    "operation": label,
                    "method": request.method,
                    "status": status,
                    "seconds": round(seconds, 6),
                },
            )

    def _operation(self, request: Request, name: str) -> Steps:
        if request.method != "POST":
            shown = name if name in OPERATIONS else "unknown"
            raise MethodNotAllowed("operations are sent with POST", hint=f"POST /v1/{shown}")
        operation = parse(name, (yield from request.text()))
        reply = yield operation
        answer = Answer(200, [JSON, *PRIVATE], write(reply).encode())
        if self.service.has_quotas:
            answer.headers.extend((yield from self.service.quota_headers(operation.namespace)))
        return answer

    def _path(self, request: Request) -> Steps:
        namespace, key = split_path(request.path)
        try:
            if key:
                answer = yield from serve_entry(request, namespace, key, self._conditional)
            else:
                answer = yield from serve_listing(request, namespace)
        except BotWireError as error:
            answer = problem_answer(error)
        if self.service.has_quotas and answer.status not in (401, 403, 422):
            answer.headers.extend((yield from self.service.quota_headers(namespace)))
        return answer
