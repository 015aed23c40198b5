"""With LangChain's runs, as Langfuse's own callback handler follows them."""

import asyncio
import threading
from typing import Any

import pytest
from langchain_core.runnables import RunnableLambda, RunnableParallel
from langchain_core.tools import tool
from langfuse.langchain import CallbackHandler
from langfuse_kit import Service
from opentelemetry import trace

import botwire_langfuse
from botwire import AsyncMemory, BotWireChatHistory, Memory
from botwire_langfuse import traced_memory


@pytest.fixture(autouse=True)
def _instrumented(service: Service) -> None:
    botwire_langfuse.instrument()


def test_operations_show_below_the_step_that_did_them(
    service: Service, botwire_memory: Memory
) -> None:
    def recall(question: str) -> Any:
        return botwire_memory.get("plan", question)

    @tool
    def remember(plan: str) -> int:
        """Remember a plan."""
        return botwire_memory.set("plan", plan)

    chain = RunnableLambda(recall) | remember
    chain.invoke("nothing", {"callbacks": [CallbackHandler()], "run_name": "agent"})
    assert service.span("botwire.get").parent == "recall"
    assert service.span("botwire.set").parent == "remember"


def test_steps_that_run_in_threads_keep_their_operations_apart(
    service: Service, botwire_memory: Memory
) -> None:
    both = threading.Barrier(2, timeout=10)  # neither ends before the other has begun

    def recall(_: Any) -> Any:
        both.wait()
        return botwire_memory.get("plan")

    def remember(plan: str) -> int:
        both.wait()
        return botwire_memory.set("plan", plan)

    steps = RunnableParallel(
        reader=RunnableLambda(recall, name="reading"),
        writer=RunnableLambda(remember, name="writing"),
    )
    history = BotWireChatHistory("ada", url=botwire_memory.url)
    history.add_user_message("hello")
    steps.invoke("x", {"callbacks": [CallbackHandler()], "run_name": "agent"})
    assert service.span("botwire.get").parent == "reading"
    assert service.span("botwire.set").parent == "writing"
    assert service.span("botwire.append").parent is None


async def test_an_asynchronous_run_is_one_trace_when_it_is_wrapped(service: Service) -> None:
    memory = AsyncMemory("langchain", url="memory://")

    @tool
    async def remember(plan: str) -> int:
        """Remember a plan."""
        await asyncio.sleep(0)
        return await memory.set("plan", plan)

    with traced_memory("turn"):
        await remember.ainvoke({"plan": "x"}, {"callbacks": [CallbackHandler()]})
        assert trace.get_current_span().is_recording()
    assert {span.name for span in service.spans()} == {"turn", "remember", "botwire.set"}
    assert len({span.trace_id for span in service.spans()}) == 1
