"""What holds locks, files or sockets says here what a fork means for it.

Before a fork everything in motion comes to rest; after it the child starts with files and sockets
of its own and leaves what it inherited untouched, because closing that would disturb the parent.
"""

import os
from typing import Protocol
from weakref import WeakSet

__all__ = ["ForkAware", "watch"]


class ForkAware(Protocol):
    """Something that a fork must not catch in the middle."""

    def before_fork(self) -> None: ...
    def after_fork(self, child: bool) -> None: ...


_watched: WeakSet[ForkAware] = WeakSet()
_resting: list[ForkAware] = []


def watch(thing: ForkAware) -> None:
    """Tell `thing` of every fork as long as it lives."""
    _watched.add(thing)


def _before() -> None:
    for thing in list(_watched):
        thing.before_fork()
        _resting.append(thing)


def _after(child: bool) -> None:
    while _resting:
        _resting.pop().after_fork(child)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before,
        after_in_parent=lambda: _after(child=False),
        after_in_child=lambda: _after(child=True),
    )
