"""What tells a list from the one before it, however items were changed, removed or moved.

Most lists are the one before with more at the end, so what matters is how quickly that is seen:
items have one fingerprint for each block, and one for each item only behind the last whole block.
"""

from array import array
from collections.abc import Sequence
from typing import Any, NamedTuple

from botwire_langchain.checkpoint.codec import Codec

__all__ = ["Prints"]

BLOCK = 16  # items; of a changed block all items are written again


class Prints(NamedTuple):
    """The fingerprints of a list."""

    blocks: Sequence[int] = ()
    rest: Sequence[int] = ()

    @classmethod
    def of(cls, items: Sequence[Any], codec: Codec) -> "Prints":
        whole = len(items) - len(items) % BLOCK
        parts = (items[at : at + BLOCK] for at in range(0, whole, BLOCK))
        return cls(array("q", map(codec.fingerprint, parts)), _each(items[whole:], codec))

    def __bool__(self) -> bool:
        return bool(self.blocks or self.rest)

    def common(self, items: Sequence[Any], prints: "Prints", codec: Codec) -> int:
        """How many of these items, which have these prints, are at the front of this list, too.

        It may be some less where not all items have a fingerprint of their own.
        """
        same = _common(self.blocks, prints.blocks)
        start = same * BLOCK
        if same < len(self.blocks):
            return start
        if same == len(prints.blocks):
            return start + _common(self.rest, prints.rest)
        return start + _common(self.rest, _each(items[start : start + len(self.rest)], codec))


def _each(items: Sequence[Any], codec: Codec) -> Sequence[int]:
    return array("q", [codec.fingerprint([item]) for item in items])


def _common(old: Sequence[int], new: Sequence[int]) -> int:
    """How many numbers at the front are the same."""
    if new[: len(old)] == old:
        return len(old)
    pairs = enumerate(zip(old, new, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(old), len(new)))
