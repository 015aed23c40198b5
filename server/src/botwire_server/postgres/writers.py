"""Threads that write: whoever finds a group to commit does so for all that wait in it.

Whoever is interrupted (Ctrl-C) takes its own write out and leaves nobody waiting for its group.
"""

import threading
from collections.abc import Callable, Sequence

from botwire.errors import Unavailable
from botwire.stores.store import Ticket
from botwire_server.lanes import Lanes

__all__ = ["Writers"]


Commit = Callable[[Sequence[Ticket]], Sequence[Ticket]]


class Writers:
    """The line of all threads of a store; at most `places` groups are committed at a time."""

    def __init__(self, places: int) -> None:
        self.turn = threading.Condition()  # whoever has it may change the line
        self._lanes = Lanes(places)

    def write(self, ticket: Ticket, commit: Commit) -> None:
        """Return when the ticket is done; until then commit groups, also of others.

        `commit` writes a group and returns the tickets whose namespaces others hold.
        """
        group: list[Ticket] = []  # what this thread commits
        try:
            with self.turn:
                self._lanes.add(ticket)
            while self._next_group(ticket, group):
                self._serve_group(group, commit)
        except BaseException:
            self._give_up(ticket, group)
            raise

    def _next_group(self, ticket: Ticket, group: list[Ticket]) -> bool:
        """Find what to commit next, by whom it may be; nothing once the ticket is done."""
        with self.turn:
            while not ticket.done:
                if self._lanes.take(group):
                    return True
                self.turn.wait()
        return False

    def _serve_group(self, group: list[Ticket], commit: Commit) -> None:
        left: Sequence[Ticket] = ()
        try:
            left = commit(group)
        finally:
            with self.turn:
                self._lanes.done(group, left)
                group.clear()
                self.turn.notify_all()

    def _give_up(self, ticket: Ticket, group: Sequence[Ticket]) -> None:
        """Ctrl-C: nobody is to write the ticket later, nor to wait for the group."""
        with self.turn:
            for each in group:
                if not each.done:
                    each.fail(Unavailable("the write was interrupted; it may have happened"))
            self._lanes.drop(group, ticket)
            self.turn.notify_all()
