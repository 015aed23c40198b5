"""How texts of any kind become parts of keys that can never be mistaken for one another.

- A part never holds the separator, so a prefix that ends in one matches whole parts only:
  what belongs to "a" is never found under "ab" or "a/b".
- What a key cannot hold (NUL, half surrogate pairs, control characters) is escaped and comes back.
- A part too long for a key is replaced by its hash; who needs the text then keeps it in the value.
"""

import re
from functools import lru_cache
from hashlib import blake2b

__all__ = ["SEPARATOR", "escaped", "part", "path", "text"]

SEPARATOR = "/"
MAX_PART = 140  # bytes; a key has 512, and the longest kind has three parts and a version

_unsafe = re.compile(r"[%/~\x00-\x1f\x7f\ud800-\udfff]")
_escape = re.compile(r"%u([0-9A-F]{4})|%([0-9A-F]{2})")


@lru_cache(maxsize=4096)
def escaped(name: str) -> str:
    """A text as one part of a key, however long.

    >>> escaped("user/42"), escaped("100 %"), escaped("")
    ('user%2F42', '100 %25', '')
    """
    return _unsafe.sub(lambda found: _code(ord(found[0])), name)


@lru_cache(maxsize=4096)
def part(name: str, limit: int = MAX_PART) -> str:
    """A text as one part of a key, or its hash if it has more bytes than `limit`.

    >>> len(part("x" * 1000))
    41
    """
    data = escaped(name).encode()
    return f"~{blake2b(data, digest_size=20).hexdigest()}" if len(data) > limit else escaped(name)


def _code(point: int) -> str:
    return f"%{point:02X}" if point < 0x80 else f"%u{point:04X}"


def text(key_part: str) -> str:
    """The text that `escaped` was given.

    >>> text("user%2F42")
    'user/42'
    """
    return _escape.sub(lambda found: chr(int(found[1] or found[2], 16)), key_part)


def path(*names: str) -> str:
    """A prefix: the parts of these texts, each closed by the separator.

    >>> path("c", "user/42")
    'c/user%2F42/'
    """
    return "".join(part(name) + SEPARATOR for name in names)
