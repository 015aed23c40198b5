"""What a memory should be, as plainly as it can be said: a dict, a clock and a counter."""

import json
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any, cast

from botwire.errors import Conflict, WrongType

__all__ = ["Model", "merged"]


@dataclass(frozen=True)
class Item:
    value: Any
    version: int
    ttl: float | None = None
    expires_at: float = float("inf")
    sliding: bool = False


def text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


class Model:
    """The methods of Memory, on a dict."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.kept: dict[str, Item] = {}
        self.version = 0
        self.writes = 0

    # -- what everything else is made of -----------------------------------------------------------

    def alive(self, prefix: str = "") -> dict[str, Item]:
        now = self.clock()
        return {
            key: item
            for key, item in sorted(self.kept.items())
            if item.expires_at > now and key.startswith(prefix)
        }

    def find(self, key: str) -> Item | None:
        return self.alive().get(key)

    def read(self, key: str) -> Item | None:
        item = self.find(key)
        if item is not None and item.sliding:
            item = self.kept[key] = replace(item, expires_at=self.clock() + (item.ttl or 0))
        return item

    def write(self, key: str, value: Any, ttl: float | None, sliding: bool = False) -> int:
        self.version += 1
        self.writes += 1
        expires_at = float("inf") if ttl is None else self.clock() + ttl
        self.kept[key] = Item(deepcopy(value), self.version, ttl, expires_at, sliding)
        return self.version

    def change(self, key: str, old: Item | None, value: Any, ttl: float | None) -> int:
        """Write a value and keep the expiry, unless a ttl starts it anew."""
        version = self.write(key, value, ttl, old.sliding if old else False)
        if old is not None and ttl is None:
            kept = replace(self.kept[key], ttl=old.ttl, expires_at=old.expires_at)
            self.kept[key] = kept
        return version

    def remove(self, key: str) -> None:
        self.version += 1
        self.writes += 1
        del self.kept[key]

    def check(self, key: str, if_version: int | None) -> Item | None:
        item = self.find(key)
        current = item.version if item else 0
        if if_version is not None and if_version != current:
            raise Conflict("", current_version=current, current_value=item.value if item else None)
        return item

    # -- the methods of Memory ---------------------------------------------------------------------

    def get(self, key: str, default: Any = None) -> Any:
        item = self.read(key)
        return default if item is None else item.value

    def exists(self, key: str) -> bool:
        return self.find(key) is not None

    def set(
        self,
        key: str,
        value: Any,
        *,
        ttl: float | None = None,
        sliding: bool = False,
        if_version: int | None = None,
    ) -> int:
        self.check(key, if_version)
        return self.write(key, value, ttl, sliding)

    def delete(self, key: str, *, if_version: int | None = None) -> bool:
        item = self.check(key, if_version)
        if item is not None:
            self.remove(key)
        return item is not None

    def pop(self, key: str, default: Any = None) -> Any:
        item = self.find(key)
        if item is None:
            return default
        self.remove(key)
        return item.value

    def increment(self, key: str, by: float = 1, *, ttl: float | None = None) -> Any:
        item = self.find(key)
        number = item.value if item else 0
        if isinstance(number, bool) or not isinstance(number, (int, float)):
            raise WrongType("")
        total = number + by
        same = item is not None and total == number and type(total) is type(number)
        if not same or ttl is not None:
            self.change(key, item, total, ttl)
        return number if same else total

    def append(
        self,
        key: str,
        *items: Any,
        max_items: int | None = None,
        ttl: float | None = None,
        sliding: bool = False,
        if_version: int | None = None,
    ) -> int:
        item = self.check(key, if_version)
        old = listed(item)
        new = [*old, *items][-(max_items or 10**9) :]
        if item is None or items or ttl is not None or len(new) < len(old):
            self.change(key, item, new, ttl)
            if ttl is not None:
                self.kept[key] = replace(self.kept[key], sliding=sliding)
        return len(new)

    def tail(self, key: str, count: int) -> list[Any]:
        items = listed(self.read(key))
        return items[-count:] if count else []

    def length(self, key: str) -> int:
        return len(listed(self.find(key)))

    def merge(
        self, key: str, patch: Any, *, ttl: float | None = None, if_version: int | None = None
    ) -> int:
        item = self.check(key, if_version)
        new = merged(item.value if item else None, patch)
        if item is not None and ttl is None and text(new) == text(item.value):
            return item.version
        return self.change(key, item, new, ttl)

    def update(
        self,
        key: str,
        function: Callable[[Any], Any],
        default: Any = None,
        *,
        ttl: float | None = None,
        sliding: bool = False,
    ) -> Any:
        item = self.read(key)
        new = function(deepcopy(item.value if item else default))
        self.change(key, item, new, ttl)
        if ttl is not None:
            self.kept[key] = replace(self.kept[key], sliding=sliding)
        return new

    def touch(self, key: str, ttl: float | None = None) -> bool:
        item = self.find(key)
        if item is not None and (ttl or item.ttl) is not None:
            self.writes += 1
            ttl = ttl or item.ttl or 0
            self.kept[key] = replace(item, ttl=ttl, expires_at=self.clock() + ttl)
        return item is not None

    def persist(self, key: str) -> bool:
        item = self.find(key)
        if item is not None and item.ttl is not None:
            self.writes += 1
            self.kept[key] = replace(item, ttl=None, expires_at=float("inf"), sliding=False)
        return item is not None

    def expire(self, prefix: str, ttl: float) -> int:
        found = self.alive(prefix)
        return len([self.touch(key, ttl) for key in found])

    def get_many(self, keys: list[str]) -> dict[str, Any]:
        found = {key: self.read(key) for key in keys}
        return {key: item.value for key, item in found.items() if item is not None}

    def set_many(
        self, values: dict[str, Any], *, ttl: float | None = None, sliding: bool = False
    ) -> dict[str, int]:
        return {key: self.write(key, value, ttl, sliding) for key, value in values.items()}

    def delete_many(self, keys: list[str]) -> int:
        return sum([self.delete(key) for key in dict.fromkeys(keys)])

    def clear(self, prefix: str = "") -> int:
        return len([self.remove(key) for key in self.alive(prefix)])

    def list_keys(self, prefix: str = "") -> list[str]:
        return list(self.alive(prefix))

    def page(
        self,
        prefix: str = "",
        *,
        after: str | None = None,
        limit: int = 1000,
        reverse: bool = False,
        newer_than: int = 0,
    ) -> tuple[list[Any], str | None]:
        keys = [key for key, item in self.alive(prefix).items() if item.version > newer_than]
        if after is not None:
            keys = [key for key in keys if (key < after if reverse else key > after)]
        keys = keys[::-1] if reverse else keys
        shown = keys[:limit]
        return [self.get(key) for key in shown], shown[-1] if len(shown) < len(keys) else None

    def batch(self, calls: list[Callable[[Any], Any]]) -> list[Any]:
        before = self.kept.copy(), self.version, self.writes
        try:
            return [call(self) for call in calls]
        except Exception:
            self.kept, self.version, self.writes = before
            raise

    def used(self) -> tuple[int, int]:
        found = self.alive()
        return len(found), sum(
            len(key.encode()) + len(text(item.value).encode()) for key, item in found.items()
        )


def listed(item: Item | None) -> list[Any]:
    value: object = item.value if item else []
    if not isinstance(value, list):
        raise WrongType("")
    return cast("list[Any]", value)


def merged(target: Any, patch: Any) -> Any:
    """RFC 7396, section 2, as the RFC writes it."""
    if not isinstance(patch, dict):
        return patch
    result = dict(cast("dict[str, Any]", target)) if isinstance(target, dict) else {}
    for name, change in cast("dict[str, Any]", patch).items():
        if change is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), change)
    return result
