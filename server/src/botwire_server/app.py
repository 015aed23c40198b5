"""The whole application: a store behind the service, the front before FastAPI."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.exceptions import HTTPException

from botwire.runners import open_store
from botwire_server import __version__
from botwire_server.admin import refused, router
from botwire_server.front import Front
from botwire_server.openapi import describe
from botwire_server.service import Service
from botwire_server.settings import Settings

__all__ = ["create_app"]


def create_app(settings: Settings | None = None) -> Front:
    """The ASGI application for these settings (by default those of the environment).

    >>> app = create_app(Settings(url="memory://"))
    """
    settings = settings or Settings.from_environment()
    service = Service(open_store(settings.url, limits=settings.limits), settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        async with service.sweeping():
            yield
        await service.close()

    app = FastAPI(
        title="BotWire",
        version=__version__,
        lifespan=lifespan,
        redoc_url=None,
        summary="Persistent key-value memory for agents.",
        # Its own spans would carry paths as they came, which may name what is nobody else's.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.state.service = service
    app.add_exception_handler(HTTPException, refused)
    app.include_router(router)
    describe(app, keys=service.keys is not None)
    return Front(service, app)
