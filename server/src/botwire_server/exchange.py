"""One request and its answer on a connection, without ASGI in between.

A request that has arrived whole needs no `receive`, an answer that is known whole no `send`, and
what can be answered at once no task: together they cost more than most requests do. The steps are
those that `front.py` takes; here the event loop's callbacks take them.
"""

import asyncio
from typing import TYPE_CHECKING, Any, ClassVar

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from botwire.operations import Operation
from botwire.stores.store import Ticket
from botwire_server.answers import Answer
from botwire_server.front import Front
from botwire_server.requests import Request
from botwire_server.service import LATER

if TYPE_CHECKING:
    from botwire_server.protocol import LimitedProtocol

__all__ = ["Exchange"]


class Exchange:
    """Stands where uvicorn keeps a `RequestResponseCycle`, and has what its protocol looks at."""

    __slots__ = (
        *("_front", "_protocol", "_request", "_steps"),
        *("disconnected", "keep_alive", "response_complete"),
    )

    more_body: ClassVar[bool] = False
    message_event: ClassVar[asyncio.Event] = asyncio.Event()  # nobody waits for it

    def __init__(
        self, front: Front, protocol: "LimitedProtocol", request: Request, keep_alive: bool
    ) -> None:
        self._front = front
        self._protocol = protocol
        self._request = request
        self._steps = front.steps(request)
        self.keep_alive = keep_alive
        self.disconnected = False
        self.response_complete = False

    def begin(self) -> None:
        """Answer now, or as soon as what it takes is there."""
        self._go_on(self._steps.send, None)

    def _settled(self, ticket: Ticket) -> None:
        if ticket.error is None:
            self._go_on(self._steps.send, ticket.reply)
        else:
            self._go_on(self._steps.throw, ticket.error)

    def _go_on(self, go_on: Any, value: Any) -> None:
        service = self._front.service
        try:
            while True:
                step: Operation = go_on(value)  # never BODY: it is there
                try:
                    value = service.at_once(step, self._request)
                    if value is LATER:
                        service.submit(step, self._request, self._settled)
                        return
                    go_on = self._steps.send
                except Exception as error:
                    go_on, value = self._steps.throw, error
        except StopIteration as end:
            self._send(end.value)

    def _send(self, answer: Answer) -> None:
        protocol = self._protocol
        self.response_complete = True
        if self.disconnected:
            return
        head = [STATUS_LINE[answer.status]]
        for name, value in (*protocol.server_state.default_headers, *answer.headers):
            head += (name, b": ", value, b"\r\n")
        if not self.keep_alive:
            head.append(b"connection: close\r\n")
        head += (b"\r\n", answer.body)
        protocol.transport.write(b"".join(head))
        if not self.keep_alive:
            protocol.transport.close()
        protocol.on_response_complete()
