"""Start the server: listen, say where, serve until told to stop, finish what was taken on."""

import gc
import logging
import signal
import socket
import sys
from types import FrameType

import uvicorn

from botwire.errors import BotWireError, InvalidRequest
from botwire.runners import public_url
from botwire.stores.store import Store
from botwire_server.app import create_app
from botwire_server.logs import set_up
from botwire_server.protocol import LimitedProtocol
from botwire_server.settings import Settings
from botwire_server.tracing import export_spans

__all__ = ["serve"]

BACKLOG = 2048
KEEP_ALIVE = 75  # seconds; longer than the client keeps an idle socket, so that it closes first
log = logging.getLogger("botwire.server")


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; requests that were taken on are answered before it ends.

    Raises:
        InvalidRequest: the address cannot be listened on, or the store cannot be opened.
    """
    set_up()
    export_spans()
    listener = _listen(settings.host, settings.port)
    host, port = listener.getsockname()[:2]
    front = create_app(settings)
    _try(front.service.store)
    config = uvicorn.Config(
        front,
        http=LimitedProtocol,
        loop="auto",
        lifespan="on",
        ws="none",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=settings.shutdown_seconds,
    )
    name = f"[{host}]" if ":" in host else host
    log.info("serving", extra={"url": f"http://{name}:{port}", "store": public_url(settings.url)})
    server = uvicorn.Server(config)

    def stop(number: int, frame: FrameType | None) -> None:
        server.should_exit = True

    # For the time before uvicorn has handlers of its own, and for after: it raises the signal that
    # ended it once more, and a stop that was asked for is no failure.
    signal.signal(signal.SIGTERM, stop)
    # What is loaded by now stays for good; the collector need not walk it again and again, which
    # would hold up every request for some 15 ms.
    gc.collect()
    gc.freeze()
    server.run([listener])
    log.info("stopped")


def _try(store: Store) -> None:
    """Say so if the store cannot be used; it may be there in a moment, so that is no end."""
    try:
        store.namespaces(limit=1)
    except BotWireError as error:
        log.warning("the store cannot be used now", extra={"problem": error.detail})


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    if sys.platform != "win32":  # there the option would let two servers share a port
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise InvalidRequest(
            f"cannot listen on {host}:{port}: {error.strerror}",
            hint="Choose another port with --port; --port 0 takes a free one.",
        ) from error
    listener.listen(BACKLOG)
    return listener
