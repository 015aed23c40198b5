"""Python values as text in JSON, through LangGraph's serializer: strict unless told otherwise."""

from binascii import a2b_base64, b2a_base64
from collections.abc import Iterable
from hashlib import blake2b
from typing import Any, NamedTuple

from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

__all__ = ["DIGEST", "Codec", "Packed", "strict_serializer"]

DIGEST = 16  # bytes; enough that two different items are never taken for the same one
USUAL = "msgpack"


class Packed(NamedTuple):
    """A value as text, and a digest of what it is (before encryption, which differs each time)."""

    text: str
    digest: bytes


def strict_serializer(allow: Iterable[type | tuple[str, str]] = ()) -> JsonPlusSerializer:
    """LangGraph's serializer, building only LangChain's, LangGraph's, plain and these types.

    Without this LangGraph rebuilds whatever class a checkpoint names (CVE-2026-28277).
    """
    return JsonPlusSerializer(allowed_msgpack_modules=tuple(allow) or None)


class Codec:
    """Packs values with a serializer. The text is base64, with the type in front if unusual."""

    def __init__(self, serde: SerializerProtocol) -> None:
        self.serde = serde
        # Encryption is told apart: the same value is never encrypted to the same bytes twice.
        self._cipher = serde.cipher if isinstance(serde, EncryptedSerializer) else None
        inner = serde.serde if isinstance(serde, EncryptedSerializer) else serde
        self._dump, self._load = inner.dumps_typed, inner.loads_typed

    def pack(self, value: Any) -> Packed:
        kind, data = self._dump(value)
        digest = _digest(kind, data)
        if self._cipher is not None:
            name, data = self._cipher.encrypt(data)
            kind = f"{kind}+{name}"
        text = b2a_base64(data, newline=False).decode()
        return Packed(text if kind == USUAL else f"{kind}:{text}", digest)

    def text(self, value: Any) -> str:
        return self.pack(value).text

    def load(self, text: str) -> Any:
        """The value that was packed."""
        return self._load(self._plain(text))

    def open(self, text: str) -> tuple[Any, bytes]:
        """The value that was packed, and its digest."""
        kind, data = self._plain(text)
        return self._load((kind, data)), _digest(kind, data)

    def _plain(self, text: str) -> tuple[str, bytes]:
        kind, found, data = text.rpartition(":")
        if not found:
            return USUAL, a2b_base64(data)
        raw = a2b_base64(data)
        if self._cipher is None or "+" not in kind:
            return kind, raw
        kind, name = kind.split("+", 1)
        return kind, self._cipher.decrypt(name, raw)


def _digest(kind: str, data: bytes) -> bytes:
    if kind == USUAL:
        return blake2b(data, digest_size=DIGEST).digest()
    return blake2b(data, digest_size=DIGEST, person=kind.encode()[:16]).digest()
