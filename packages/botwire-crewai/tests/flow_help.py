"""Flows for tests: a state, and a class that counts its steps."""

import uuid
from datetime import date
from typing import Any

from crewai.flow.flow import Flow, listen, start
from crewai.flow.persistence import persist
from pydantic import BaseModel, Field

from botwire_crewai import BotWireFlowPersistence


class Count(BaseModel):
    id: str = Field(default_factory=lambda: str(uuid.uuid4()))
    steps: list[str] = []
    tags: set[str] = set()
    day: date | None = None
    best: float = 0.0


def counting(backend: BotWireFlowPersistence | None = None) -> Any:
    """A flow class of its own, that saves after each method."""

    @persist(backend)
    class Counting(Flow[Count]):
        @start()
        def first(self) -> None:
            self.state.steps.append("first")
            self.state.tags.add("x")
            self.state.day = date(2026, 1, 2)

        @listen(first)
        def second(self) -> None:
            self.state.steps.append("second")

    return Counting
