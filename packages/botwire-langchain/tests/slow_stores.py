"""Stores that take their time, for tests of what happens meanwhile."""

import threading
import time
from pathlib import Path
from typing import Any

from botwire.operations import Operation
from botwire.stores.base import Limits, Mode
from botwire.stores.sqlite import SQLiteStore

PATIENCE = 20.0


class Gated(SQLiteStore):
    """A store at whose gate writes wait, once it is closed."""

    def __init__(self, path: Path, limits: Limits | None = None) -> None:
        super().__init__(path, limits)
        self.writes: list[Operation] = []
        self.arrived = threading.Condition()
        self.gate = threading.Event()
        self.gate.set()

    def run(self, operation: Operation) -> Any:
        if operation.mode is Mode.WRITE:
            with self.arrived:
                self.writes.append(operation)
                self.arrived.notify_all()
            assert self.gate.wait(PATIENCE)
        return super().run(operation)

    def closed(self) -> None:
        self.writes.clear()
        self.gate.clear()

    def until(self, count: int) -> None:
        """Return once so many writes stand at the gate."""
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.writes) >= count, PATIENCE)


class Distant(SQLiteStore):
    """A store behind a network: every write takes its time, and they take it side by side."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.writes: list[Operation] = []
        self.seconds = 0.05

    def run(self, operation: Operation) -> Any:
        if operation.mode is Mode.WRITE:
            self.writes.append(operation)
            time.sleep(self.seconds)
        return super().run(operation)
