"""What holds locks, files or sockets says here what a fork means for it.

Before a fork everything in motion comes to rest; after it the child starts with files and sockets
of its own and leaves what it inherited untouched, because closing that would disturb the parent.
"""

import os
import threading
from typing import Protocol
from weakref import WeakSet

__all__ = ["ForkAware", "watch"]


class ForkAware(Protocol):
    """Something that a fork must not catch in the middle."""

    def before_fork(self) -> None: ...
    def after_fork(self, child: bool) -> None: ...


_watched: WeakSet[ForkAware] = WeakSet()
_watching = threading.Lock()  # held for a moment only: others' locks may be held around it
_forking = threading.Lock()  # threads that fork do so one after the other
_resting: list[ForkAware] = []


def watch(thing: ForkAware) -> None:
    """Tell `thing`, which is wholly made, of every fork as long as it lives."""
    with _watching:
        _watched.add(thing)


def _before() -> None:
    _forking.acquire()
    for _ in range(2):  # the second time for what was opened while what opens it came to rest
        with _watching:
            awake = [thing for thing in _watched if not any(thing is other for other in _resting)]
        for thing in awake:
            thing.before_fork()
            _resting.append(thing)
    _watching.acquire()  # the child is to inherit no half of a change


def _after(child: bool) -> None:
    _watching.release()
    while _resting:
        _resting.pop().after_fork(child)
    _forking.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before,
        after_in_parent=lambda: _after(child=False),
        after_in_child=lambda: _after(child=True),
    )
