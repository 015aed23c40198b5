"""What it takes to answer a request, one step after the other, whoever takes them.

A generator yields what it needs next and is sent what comes of it. So the same lines serve a
request that is answered on the spot (`exchange.py`) and one that an event loop waits for
(`front.py`); they hold no `await` and do no I/O.
"""

from collections.abc import Callable, Generator
from enum import Enum
from typing import Any, TypeAlias, TypeVar

from botwire.operations import Operation
from botwire.stores.store import Ticket
from botwire_server.answers import Answer

__all__ = ["BODY", "Done", "Need", "Step", "Steps", "Taking"]


class Need(Enum):
    """What a request has not brought along yet."""

    BODY = "the bytes of the body"


BODY = Need.BODY

Step: TypeAlias = Operation | Need  # what it is sent: the operation's reply, or bytes

Result = TypeVar("Result")
Taking: TypeAlias = Generator[Step, Any, Result]
Steps: TypeAlias = Taking[Answer]

Done: TypeAlias = Callable[[Ticket], object]
"""What is called, in a turn of the event loop of its own, with a ticket that is settled."""
