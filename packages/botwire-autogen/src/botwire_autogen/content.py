"""`MemoryContent` as JSON, exactly, and as the text a model reads.

- Text without metadata is stored as that text and nothing else, so that every other part of
  BotWire, and curl, can read and write memories, too. Everything else is a tagged record.
- What somebody else stored under the same prefix is read as text or JSON content.
- `MemoryContent`'s own JSON does not come back (autogen 0.7: text raises TypeError, bytes become
  text, images become dicts), so it is not used.
"""

import json
from typing import Any, cast

from autogen_core import Image
from autogen_core.memory import MemoryContent, MemoryMimeType

from botwire.errors import InvalidValue
from botwire_autogen.codec import TAG, pack, unpack

__all__ = ["content_of", "record_of", "text_of", "without_bytes"]

RECORD = "MemoryContent"


def record_of(content: MemoryContent) -> Any:
    """What is stored for a memory.

    >>> record_of(MemoryContent(content="likes tea", mime_type=MemoryMimeType.TEXT))
    'likes tea'
    """
    mime = content.mime_type
    if mime is MemoryMimeType.TEXT and type(content.content) is str and content.metadata is None:
        return content.content
    record: dict[str, Any] = {
        TAG: RECORD,
        "content": pack(content.content, _image_down),
        "mime_type": mime.value if isinstance(mime, MemoryMimeType) else mime,
    }
    if isinstance(mime, str):
        record["mime_is_text"] = True  # autogen keeps "text/plain" and its own TEXT apart
    if content.metadata is not None:
        record["metadata"] = pack(content.metadata, _image_down)
    return record


def content_of(stored: Any) -> MemoryContent:
    """The memory that is stored; other values than ours are text, or JSON when they are objects.

    >>> content_of("likes tea").mime_type
    <MemoryMimeType.TEXT: 'text/plain'>
    """
    if not isinstance(stored, dict):
        text = stored if isinstance(stored, str) else json.dumps(stored, ensure_ascii=False)
        return _made(text, MemoryMimeType.TEXT)
    record = cast("dict[str, Any]", stored)
    if record.get(TAG) != RECORD:
        return _made(record, MemoryMimeType.JSON)
    mime = record["mime_type"]
    metadata = record.get("metadata")
    return _made(
        unpack(record["content"], _image_up),
        mime if record.get("mime_is_text") else MemoryMimeType(mime),
        None if metadata is None else unpack(metadata, _image_up),
    )


def _made(
    content: Any, mime_type: MemoryMimeType | str, metadata: dict[str, Any] | None = None
) -> MemoryContent:
    if not isinstance(content, (str, bytes, dict, Image)):
        raise InvalidValue(f"a stored memory holds a {type(content).__name__}")
    # Validation raises TypeError for an object whose member "data" is no base64 (autogen 0.7).
    return MemoryContent.model_construct(content=content, mime_type=mime_type, metadata=metadata)


def _image_down(value: Any) -> tuple[str, Any] | None:
    return ("Image", value.to_base64()) if isinstance(value, Image) else None


def _image_up(name: str, value: Any) -> Image:
    if name != "Image":
        raise InvalidValue(f"a stored memory holds a {name!r}, which is no content of a memory")
    return Image.from_base64(value)


def text_of(content: MemoryContent) -> str:
    """What a model reads of a memory; bytes and images are named rather than shown.

    >>> text_of(MemoryContent(content={"likes": "tea"}, mime_type="application/json"))
    '{"likes": "tea"}'
    """
    value = content.content
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False, default=str)
    if isinstance(value, bytes):
        return f"({len(value)} bytes of {_mime(content)})"
    width, height = value.image.size
    return f"(an image of {width} x {height} pixels)"


def _mime(content: MemoryContent) -> str:
    mime = content.mime_type
    return mime.value if isinstance(mime, MemoryMimeType) else mime


def without_bytes(content: MemoryContent) -> MemoryContent:
    """The memory as an event may carry it: autogen's event log cannot write bytes."""
    if not isinstance(content.content, bytes):
        return content
    return content.model_copy(
        update={"content": text_of(content), "mime_type": MemoryMimeType.TEXT}
    )
