"""Everything that is not on the short way: health, readiness, metrics, and what this server is."""

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from starlette.exceptions import HTTPException

from botwire.errors import BotWireError, NotFound
from botwire_server import __version__
from botwire_server.answers import problem_answer
from botwire_server.entries import MethodNotAllowed
from botwire_server.service import Service

__all__ = ["router"]

router = APIRouter()


def _service(request: Request) -> Service:
    return request.app.state.service


Used = Annotated[Service, Depends(_service)]


@router.get("/", summary="What this server is")
async def about() -> dict[str, str]:
    """The name, the version and where the documentation is."""
    return {"name": "botwire", "version": __version__, "docs": "/docs", "openapi": "/openapi.json"}


@router.get("/healthz", summary="Whether the process lives")
async def health() -> dict[str, str]:
    """Answers as long as the process can answer at all; it does not touch the store."""
    return {"status": "ok"}


@router.get(
    "/readyz",
    summary="Whether the store can be used",
    responses={503: {"description": "The store cannot be used now."}},
)
async def ready(service: Used) -> Any:
    """Reads from the store; 503 with the reason when that fails."""
    try:
        await asyncio.to_thread(service.store.namespaces, "", 1)
    except BotWireError as error:
        return _refusal(error)
    return {"status": "ready"}


@router.get("/metrics", summary="Metrics for Prometheus", response_class=Response)
async def metrics(request: Request, service: Used) -> Response:
    """Counts and times, never labelled by namespace or key. Needs a key where there are any."""
    try:
        service.admit(dict(request.headers.raw))
    except BotWireError as error:
        return _refusal(error)
    return Response(service.metrics.page(), media_type="text/plain; version=0.0.4; charset=utf-8")


async def refused(request: Request, error: Exception) -> Response:
    """A path or method that FastAPI does not know, as a problem like all others."""
    status = error.status_code if isinstance(error, HTTPException) else 404
    kind = MethodNotAllowed if status == 405 else NotFound
    return _refusal(kind(f"there is no {request.method} of this path", hint="See /docs."))


def _refusal(error: BotWireError) -> Response:
    answer = problem_answer(error)
    headers = {name.decode(): value.decode() for name, value in answer.headers}
    return Response(answer.body, answer.status, headers)
