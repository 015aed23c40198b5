"""API keys: a JSON file of hashes. The keys themselves are shown once, when they are made.

- A key may be limited to namespaces with a prefix, and to reading.
- A key has 32 random bytes, so a plain SHA-256 keeps it safe: there is nothing to guess.
- The running server notices a changed file within a second; a revoked key stops working then.
"""

import hashlib
import json
import logging
import os
import secrets
import sqlite3
import time
from collections.abc import Generator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from botwire.errors import Forbidden, InvalidRequest, NotFound, Unauthorized
from botwire.operations import Operation
from botwire.stores.base import Mode

__all__ = ["Key", "KeyFile", "create", "load", "revoke"]

LOOKED_AT_EVERY = 1.0  # seconds

log = logging.getLogger("botwire.server")


@dataclass(frozen=True, slots=True)
class Key:
    """What is known of a key. `hash` is the SHA-256 of the key as hexadecimal text."""

    id: str
    hash: str
    name: str = ""
    prefix: str = ""
    read_only: bool = False
    created_at: float = 0.0

    def check(self, operation: Operation) -> None:
        """Refuse what this key does not allow."""
        if not operation.namespace.startswith(self.prefix):
            raise Forbidden(
                f"this API key is for namespaces that start with {self.prefix!r}",
                hint="Use a namespace under that prefix, or another key.",
            )
        if self.read_only and operation.mode is Mode.WRITE:
            raise Forbidden(
                f"this API key may only read, and {operation.name!r} writes",
                hint="Make a key without --read-only: botwire keys create",
            )


def load(path: Path) -> list[Key]:
    """The keys in a file; an empty list when there is no file yet."""
    try:
        found = json.loads(path.read_text())
        return [Key(**key) for key in found["keys"]]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise InvalidRequest(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        # Not its repr: that of a text in another encoding holds the whole file.
        raise InvalidRequest(
            f"{path} is no file of API keys: {type(error).__name__}: {error}",
            hint="Make one: botwire keys create",
        ) from None


def create(
    path: Path, *, name: str = "", prefix: str = "", read_only: bool = False
) -> tuple[Key, str]:
    """Make a key, add it to the file and return it with the secret text, which is kept nowhere."""
    text = f"bw_{secrets.token_urlsafe(32)}"
    key = Key(secrets.token_hex(4), _hash(text), name, prefix, read_only, time.time())
    with _alone(path):
        _save(path, [*load(path), key])
    return key, text


def revoke(path: Path, id_: str) -> Key:
    """Take a key out of the file."""
    with _alone(path):
        keys = load(path)
        for key in keys:
            if key.id == id_:
                _save(path, [other for other in keys if other is not key])
                return key
    raise NotFound(f"there is no key {id_!r} in {path}", hint="See: botwire keys list")


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@contextmanager
def _alone(path: Path) -> Generator[None]:
    """Nobody else changes the file meanwhile; SQLite's locks end with their process everywhere."""
    try:
        with closing(sqlite3.connect(path.with_name(f".{path.name}.lock"))) as lock:
            lock.execute("BEGIN EXCLUSIVE")
            yield
    except (OSError, sqlite3.Error) as error:
        raise InvalidRequest(
            f"{path} cannot be changed: {error}", hint="Choose a folder that can be written."
        ) from error


def _save(path: Path, keys: Sequence[Key]) -> None:
    """Replace the file in one step, readable by its owner alone."""
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
        json.dump({"keys": [asdict(key) for key in keys]}, file, indent=2)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


class KeyFile:
    """The keys of a running server, read again when the file changes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int, int] | None = None
        self._looked_at = 0.0
        self._keys: dict[str, Key] = {}
        self._look()
        if not self._keys:
            raise InvalidRequest(
                f"there are no API keys in {path}, so nobody could use the server",
                hint=f"Make one first: botwire keys create --api-keys {path}",
            )

    def find(self, authorization: bytes | None) -> Key:
        """The key that an Authorization header names."""
        now = time.monotonic()
        if now - self._looked_at > LOOKED_AT_EVERY:
            try:
                self._look()
            except InvalidRequest as error:  # no caller's fault, and no reason to let nobody in
                log.error("the API keys stay as they were", extra={"problem": error.detail})
        scheme, _, text = (authorization or b"").decode("latin-1").partition(" ")
        key = self._keys.get(_hash(text.strip())) if scheme.lower() == "bearer" else None
        if key is None:
            raise Unauthorized(
                "this server needs an API key" if not authorization else "the API key is not known",
                hint="Send 'Authorization: Bearer <key>'; in Python: Memory(..., api_key=...) or"
                " BOTWIRE_API_KEY. Keys are made with: botwire keys create",
            )
        return key

    def _look(self) -> None:
        self._looked_at = time.monotonic()
        try:
            facts = self._path.stat()
        except FileNotFoundError:
            self._keys, self._stamp = {}, None
            return
        stamp = (facts.st_mtime_ns, facts.st_size, facts.st_ino)
        if stamp != self._stamp:
            self._stamp = stamp  # first, so that a file that is spoilt is reported once
            self._keys = {key.hash: key for key in load(self._path)}
