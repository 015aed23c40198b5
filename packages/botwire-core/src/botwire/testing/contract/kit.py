"""What the contract's tests have in common: capabilities, time, exact comparison."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import pytest

from botwire.jsontext import encode
from botwire.memory import Memory

__all__ = ["Capabilities", "Elapse", "FakeClock", "exact", "expired", "require", "unchanged"]

Elapse = Callable[[float], None]  # lets so many seconds pass, for real or on a fake clock

SHORT = 0.01  # seconds: a ttl that tests wait for


@dataclass(frozen=True)
class Capabilities:
    """What a way of reaching memory can do. Only what is declared here is left out of the suite.

    Attributes:
        mapping: `memory["k"]`, `in`, `len` and iteration work (asynchronous code cannot have them).
        processes: its `url` reaches the same memory from other processes.
    """

    mapping: bool = True
    processes: bool = True


def require(capabilities: Capabilities, name: str) -> None:
    """Leave the running test out, visibly, where the capability is declared absent."""
    if not getattr(capabilities, name):
        pytest.skip(f"declared: no {name}")


class FakeClock:
    """Seconds that pass when told to; give it to a store as `clock=`."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


def exact(value: Any) -> Any:
    """A form in which values are equal only if types, member order and signs of zero are, too."""
    if isinstance(value, dict):
        pairs = cast("dict[str, Any]", value).items()
        return ("dict", [(name, exact(part)) for name, part in pairs])
    if isinstance(value, list):
        return ("list", [exact(part) for part in cast("list[Any]", value)])
    return (type(value).__name__, str(encode(value)))


def expired(memory: Memory, elapse: Elapse, *keys: str, value: Any = 1) -> None:
    """Make keys that have just expired."""
    memory.set_many(dict.fromkeys(keys, value), ttl=SHORT)
    elapse(SHORT + 0.005)


@contextmanager
def unchanged(memory: Memory) -> Generator[None]:
    """Whatever happens inside, nothing in the namespace may change."""
    before = memory.usage(), list(memory.items())
    yield
    after = memory.usage(), list(memory.items())
    assert after[1] == before[1]
    assert after[0].version == before[0].version
    assert after[0].writes_today == before[0].writes_today
