"""Versions of channels: texts that sort by age, of which no two are alike wherever they are made.

What a version names is never written again (`layout.py`), so forks of a thread, which count on from
the same number, must not give the same one.
"""

import itertools
import os
import secrets
import time
from hashlib import blake2b

__all__ = ["next_version"]

DIGITS = 10  # of the number, so that versions sort as text

_secret = secrets.token_bytes(16)
_count = itertools.count()


def _renew() -> None:
    global _secret
    _secret = secrets.token_bytes(16)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)


def next_version(current: str | float | None) -> str:
    """A version that sorts behind `current`, which may be of another checkpointer (a number).

    >>> next_version(None)[:11], next_version("0000000041.5f2d0c1a9be37d64")[:11]
    ('0000000001.', '0000000042.')
    """
    number = str(current or 0).partition(".")[0]
    return f"{int(number) + 1:0{max(DIGITS, len(number))}}.{_unique()}"


def _unique() -> str:
    """64 bits that no other process gives, nor a fork of this one.

    Nor does this process give them again when it is restored from a picture of its memory: that is
    what the clock is for. The system's own random numbers would do all that, but asking for them
    lets go of Python's lock, and to get it back takes longer than the rest of a version.
    """
    text = f"{next(_count)} {time.time_ns()}"
    return blake2b(text.encode(), key=_secret, digest_size=8).hexdigest()
