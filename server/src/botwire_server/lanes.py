"""The line of writes in front of a store that commits several groups at a time.

- A namespace is in one running group at most, so its writes keep their order and do not wait for
  each other's locks; other namespaces pass.
- A namespace that somebody outside holds is tried again with the next group: another server's
  transaction has mostly ended by then. One that is still held after some tries, or whose group
  could do nothing else, is committed in a group of its own, which waits for the lock; one place is
  always left to those that need not wait.
- Two small groups cost more than a large one, so others may be made to gather behind a group until
  it is done or takes long.
- Whoever was answered comes again. If all that wait were taken, a crowd and a few would take turns,
  and the disk would wait for the crowd's requests to be read; so half of both is taken.
- Not thread-safe: an event loop uses it, or threads under a lock.
"""

from collections.abc import Sequence

from botwire.stores.store import GROUP, Ticket

__all__ = ["Lanes"]

FEW = 8  # tickets that are not worth two groups
TRIES = 3  # a group that waits costs as much as a large one; spinning for long would cost more


class Lanes:
    """Tickets that wait, and which of them may run now; at most `places` groups run at a time."""

    def __init__(self, places: int) -> None:
        self._places = places
        self._groups: list[list[Ticket]] = []
        self._before = 0  # tickets of the group that ended last; 0 when nothing was under way since
        self._line: list[Ticket] = []
        self._busy: set[str] = set()
        self._held: set[str] = set()  # held by others and to be waited for
        self._ahead: list[Ticket] | None = None  # the group behind which others gather

    def add(self, ticket: Ticket) -> None:
        """Put a ticket at the end of the line."""
        self._line.append(ticket)

    def take(self, group: list[Ticket] | None = None) -> list[Ticket]:
        """The next group, or nothing; `done` must follow, or `drop`.

        A list that is given becomes the group, before anything else changes.
        """
        group = [] if group is None else group
        if not self._line and not self._groups:
            self._before = 0
        if len(self._groups) == self._places or not self._line:
            group.clear()
            return group
        barred = self._busy | self._held
        group[:] = self._alone() or self._passing(barred) if barred else self._line[: self._half()]
        if waited := _waited_for(group) - self._held:
            self._held |= waited  # so that not all places are taken by such groups
            return self.take(group)
        if group:
            self._groups.append(group)
            self._busy.update([ticket.operation.namespace for ticket in group])
            self._leave(group if barred else None, len(group))
        return group

    def _leave(self, group: list[Ticket] | None, count: int) -> None:
        if group is None:  # the first ones
            self._line = self._line[count:]
        else:
            gone = set(group)
            self._line = [ticket for ticket in self._line if ticket not in gone]

    def _half(self) -> int:
        """How many of the line are taken, if all may run."""
        if not self._before:
            return GROUP
        return min(max((len(self._line) + self._before + 1) // 2, FEW), GROUP)

    def _passing(self, barred: set[str]) -> list[Ticket]:
        if self._ahead is not None:
            return []
        return [ticket for ticket in self._line if ticket.operation.namespace not in barred][:GROUP]

    def _alone(self) -> list[Ticket]:
        if len(self._busy & self._held) >= max(self._places - 1, 1):
            return []
        for name in self._held - self._busy:
            group = [ticket for ticket in self._line if ticket.operation.namespace == name]
            if group:
                return group[:GROUP]
        return []

    def gather_behind(self, group: list[Ticket]) -> None:
        """Let those that could pass gather while this group runs, unless it waits for others."""
        if group[0].operation.namespace not in self._held:
            self._ahead = group

    def let_pass(self, group: list[Ticket]) -> None:
        """Nobody gathers behind this group any more."""
        if self._ahead is group:
            self._ahead = None

    def done(self, group: list[Ticket], left: Sequence[Ticket] = ()) -> None:
        """A group has ended; `left` are its tickets whose namespaces others held."""
        self.let_pass(group)
        self._before = len(group)
        names = {ticket.operation.namespace for ticket in group}
        self._groups = [other for other in self._groups if other is not group]
        self._busy -= names
        self._held -= names
        waits = len(left) == len(group)  # nothing of it could be done: trying again would spin
        self._held |= {t.operation.namespace for t in left if waits or t.held_up >= TRIES}
        self._line[:0] = left

    def drop(self, group: Sequence[Ticket], ticket: Ticket) -> None:
        """Whoever took the group was interrupted, at any point; and nobody waits for the ticket."""
        self._leave([*group, ticket], 0)
        self._groups = [other for other in self._groups if other is not group]
        self._busy = {each.operation.namespace for other in self._groups for each in other}


def _waited_for(group: Sequence[Ticket]) -> set[str]:
    """The namespace of a group that has no other, if others held it: its lock is waited for."""
    names = {ticket.operation.namespace for ticket in group}
    return names if len(names) == 1 and any(ticket.held_up for ticket in group) else set()
