"""How a list is kept: its newest items in the row, older ones in chunks that are written once.

Appending then writes the row and now and then one new chunk, never the list. Nothing here reads or
writes anything; items are counted from the beginning of the list (see `Row`).
"""

from collections.abc import Sequence

from botwire.jsontext import elements
from botwire.stores.base import Chunk, Row

__all__ = ["grown_by", "sealed", "size", "trimmed"]

SEAL = 2048  # bytes of newest items that stay in the row; above that they move into a chunk


def size(text: str) -> int:
    """Bytes of the text in UTF-8."""
    return len(text) if text.isascii() else len(text.encode())


def grown_by(row: Row, items: Sequence[str]) -> Row:
    """The row with the items added to its newest part."""
    newest = row.value[1:-1].strip()
    if not row.end:  # the list was set whole, not appended to: count it once
        row = row._replace(end=len(elements(row.value)))
    value = f"[{','.join([newest, *items] if newest else items)}]"
    bytes_ = row.bytes + sum(map(size, items)) + len(items) if row.chunked else size(value)
    return row._replace(value=value, bytes=bytes_, end=row.end + len(items))


def sealed(row: Row) -> tuple[Row, list[Chunk]]:
    """Move the newest items into chunks once they are too many to be written again each time."""
    newest = row.value[1:-1]
    weight = size(newest)
    if weight <= SEAL:
        return row, []
    if weight <= 2 * SEAL:
        chunks = [Chunk(row.mid, row.end - row.mid, newest)]
    else:
        chunks = _split(elements(row.value), row.mid)
    return row._replace(value="[]", mid=row.end), chunks


def _split(items: Sequence[str], start: int) -> list[Chunk]:
    chunks: list[Chunk] = []
    part: list[str] = []
    weight = 0
    for item in items:
        part.append(item)
        weight += size(item)
        if weight > SEAL:
            chunks.append(Chunk(start, len(part), ",".join(part)))
            start, part, weight = start + len(part), [], 0
    if part:
        chunks.append(Chunk(start, len(part), ",".join(part)))
    return chunks


def trimmed(
    row: Row, head: int, stored: Sequence[Chunk], chunks: Sequence[Chunk]
) -> tuple[Row, list[Chunk]]:
    """The row without the items before number `head`, and the chunks that are to be written.

    Args:
        stored: the chunks in the store that hold items before `head`; they are to be removed.
        chunks: chunks that were to be written anyway.
    """
    if head >= row.mid:  # only the newest part is left
        newest = elements(row.value)[head - row.mid :]
        text = f"[{','.join(newest)}]"
        return row._replace(value=text, bytes=size(text), head=head, mid=head), []
    older = [*stored, *(chunk for chunk in chunks if chunk.start < head)]
    last = older[-1]
    rest = elements(f"[{last.text}]")[head - last.start :]
    cut = [Chunk(head, len(rest), ",".join(rest))] if rest else []
    gone = sum(map(_weight, older)) - sum(map(_weight, cut))
    kept = cut + [chunk for chunk in chunks if chunk.start >= head]
    return row._replace(head=head, bytes=row.bytes - gone), kept


def _weight(chunk: Chunk) -> int:
    return size(chunk.text) + 1  # with the comma in front of it
