"""What the adapters remember shows in the tree of whoever called them."""

import asyncio
from collections.abc import Callable, Generator
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from botwire import otel, telemetry
from botwire.telemetry.content import Content

CANARY = "canary-7f3a"


class Tree:
    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))

    def below(self, action: Callable[[], object]) -> list[str]:
        """The operations that an action made below the span around it; there are no others."""
        with self.provider.get_tracer("test").start_as_current_span("agent") as agent:
            action()
        spans = [span for span in self.exporter.get_finished_spans() if span.name != "agent"]
        for span in spans:
            assert span.parent is not None, span.name
            assert span.parent.span_id == agent.get_span_context().span_id, span.name
        assert CANARY not in "".join(span.to_json() for span in spans)
        return [str((span.attributes or {})["botwire.operation"]) for span in spans]


@pytest.fixture
def tree() -> Generator[Tree]:
    tree = Tree()
    with telemetry.spans_by(otel.SpanMaker(Content(capture=False), tree.provider)):
        yield tree


def test_langchain(tree: Tree, url: str) -> None:
    from botwire_langchain import BotWireChatHistory

    history = BotWireChatHistory("ada", url=url)

    def chat() -> None:
        history.add_user_message(CANARY)
        assert history.messages

    assert tree.below(chat) == ["append", "get"]


def test_langchain_asynchronously(tree: Tree, url: str) -> None:
    from botwire_langchain import BotWireStore

    async def remember() -> None:
        store = BotWireStore(url=url)
        await asyncio.gather(*(store.aput(("ada",), f"k{n}", {"x": CANARY}) for n in range(3)))
        assert await store.aget(("ada",), "k0")

    assert len(tree.below(lambda: asyncio.run(remember()))) >= 2


def test_crewai(tree: Tree, url: str) -> None:
    from botwire.memory import memory_tools

    remember, recall, _ = memory_tools("project", url=url)

    def work() -> None:
        remember.run(key="city", value=CANARY)
        assert CANARY in recall.run(key="city")

    assert set(tree.below(work)) >= {"set", "get"}


def test_autogen(tree: Tree, url: str) -> None:
    from autogen_core.memory import MemoryContent, MemoryMimeType

    from botwire_autogen import BotWireMemory

    async def remember() -> None:
        memory = BotWireMemory("ada", url=url)
        await memory.add(MemoryContent(content=CANARY, mime_type=MemoryMimeType.TEXT))
        assert (await memory.query()).results

    assert tree.below(lambda: asyncio.run(remember()))


def test_haystack(tree: Tree, url: str) -> None:
    from haystack_integrations.components.retrievers.botwire import BotWireKeyValueReader
    from haystack_integrations.components.writers.botwire import BotWireKeyValueWriter

    place: dict[str, Any] = {"namespace": "assistant", "url": url}
    writer = BotWireKeyValueWriter(**place, keys=["city"])
    reader = BotWireKeyValueReader(**place, keys={"city": ""})

    def remember() -> None:
        writer.run(city=CANARY)
        assert reader.run()["city"] == CANARY

    assert tree.below(remember)
    writer.close(), reader.close()
