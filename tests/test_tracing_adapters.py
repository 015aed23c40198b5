"""What adapters remember shows in the tree of whoever ran the agent, whichever thread did it.

Agents are made and run by the real frameworks with scripted models; what is asserted are the spans
that arrived over OTLP.
"""

import asyncio
import json
from collections.abc import Callable, Generator
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from tracing_endpoint import Endpoint
from tracing_workload import CANARY, everything

from botwire import Memory, otel, telemetry
from botwire.telemetry.content import Content

ADA: dict[str, Any] = {"configurable": {"thread_id": "ada"}}


class Tree:
    """A provider whose spans are sent to a loopback endpoint."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.provider = TracerProvider(shutdown_on_exit=False)
        exporter = OTLPSpanExporter(f"{endpoint.url}/v1/traces")
        self.provider.add_span_processor(SimpleSpanProcessor(exporter))

    def below(self, action: Callable[[], object]) -> list[str]:
        """The operations that arrived below the span around an action; there are no others."""
        with self.provider.get_tracer("test").start_as_current_span("agent"):
            action()
        spans = [span for span in self.endpoint.spans() if span.name != "agent"]
        outside = {span.name: span.parent for span in spans if span.parent != "agent"}
        assert outside == {}
        assert CANARY not in self.endpoint.everything()
        return [span.attributes["botwire.operation"] for span in spans]


@pytest.fixture
def tree() -> Generator[Tree]:
    with Endpoint() as endpoint:
        tree = Tree(endpoint)
        with telemetry.spans_by(otel.SpanMaker(Content(capture=False), tree.provider)):
            yield tree
        tree.provider.shutdown()


@pytest.fixture
def url(tmp_path: Any) -> str:
    return f"sqlite:///{tmp_path}/memory.db"


# -- by hand --------------------------------------------------------------------------------------


def test_operations_of_every_kind_without_an_adapter(tree: Tree, url: str) -> None:
    with Memory("ada", url=url) as memory:
        assert len(tree.below(lambda: everything(memory))) > 15


def test_a_chat_history_of_langchain(tree: Tree, url: str) -> None:
    from botwire_langchain import BotWireChatHistory

    history = BotWireChatHistory("ada", url=url)

    def chat() -> None:
        history.add_user_message(CANARY)
        assert history.messages

    assert tree.below(chat) == ["append", "get"]


def test_a_store_of_langgraph_used_asynchronously(tree: Tree, url: str) -> None:
    from botwire_langchain import BotWireStore

    async def remember() -> None:
        store = BotWireStore(url=url)
        await asyncio.gather(*(store.aput(("ada",), f"k{n}", {"x": CANARY}) for n in range(3)))
        assert await store.aget(("ada",), "k0")

    assert len(tree.below(lambda: asyncio.run(remember()))) >= 2


def test_components_of_haystack(tree: Tree, url: str) -> None:
    from haystack import Pipeline

    from haystack_integrations.components.retrievers.botwire import BotWireKeyValueReader
    from haystack_integrations.components.writers.botwire import BotWireKeyValueWriter

    place: dict[str, Any] = {"namespace": "assistant", "url": url}
    pipeline = Pipeline()
    writer = BotWireKeyValueWriter(**place, keys=["city"])
    pipeline.add_component("writer", writer)
    reader = BotWireKeyValueReader(**place, keys={"city": ""})

    def remember() -> None:
        pipeline.run({"writer": {"city": CANARY}})
        assert reader.run()["city"] == CANARY

    assert tree.below(remember)
    writer.close(), reader.close()


# -- agents ---------------------------------------------------------------------------------------


def langchain_agent(url: str) -> Any:
    """An agent that keeps its state, and calls two tools at once, which takes two threads."""
    from langchain.agents import create_agent
    from langchain_core.language_models import GenericFakeChatModel
    from langchain_core.messages import AIMessage

    from botwire_langchain import BotWireSaver, BotWireStore, create_memory_tools

    class Model(GenericFakeChatModel):
        def bind_tools(self, tools: Any, **options: Any) -> Any:
            return self

    tools = create_memory_tools(("memories",))
    named = {tool.name: tool for tool in tools}
    calls = [
        {"name": name, "args": _arguments(named[name]), "id": f"{n}", "type": "tool_call"}
        for n, name in enumerate(named)
    ]
    script = iter([AIMessage("", tool_calls=calls), AIMessage("done")])
    return create_agent(
        Model(messages=script),
        tools,
        store=BotWireStore(url=url),
        checkpointer=BotWireSaver(url=url),
    )


def _arguments(tool: Any) -> dict[str, Any]:
    """The canary for each text that a tool must be given."""
    return {name: CANARY for name, told in tool.args.items() if told.get("type") == "string"}


QUESTION = {"messages": [("user", CANARY)]}


def test_an_agent_of_langchain_in_all_its_threads(tree: Tree, url: str) -> None:
    agent = langchain_agent(url)
    operations = tree.below(lambda: agent.invoke(QUESTION, ADA))
    assert len(operations) > 5  # its store's and its checkpoints'


def test_an_agent_of_langchain_run_asynchronously(tree: Tree, url: str) -> None:
    agent = langchain_agent(url)
    operations = tree.below(lambda: asyncio.run(agent.ainvoke(QUESTION, ADA)))
    assert len(operations) > 5


@pytest.mark.filterwarnings("ignore::DeprecationWarning:crewai")
def test_a_crew_whose_tasks_run_in_threads(tree: Tree, url: str) -> None:
    from crewai import Agent, Crew, Task
    from crewai.llms.base_llm import BaseLLM

    from botwire.memory import memory_tools

    class Model(BaseLLM):
        def supports_function_calling(self) -> bool:
            return True

        def call(self, messages: Any, *_: Any, **__: Any) -> Any:
            if messages[-1]["role"] == "tool":
                return "done"
            given = json.dumps({"key": "city", "value": CANARY})
            function = {"name": "remember", "arguments": given}
            return [{"id": "1", "type": "function", "function": function}]

    def task(aside: bool) -> Any:
        model = Model(model="scripted")
        tools = memory_tools("project", url=url)
        agent = Agent(role="keeper", goal="remember", backstory="careful", llm=model, tools=tools)
        return Task(
            description="Remember.", expected_output="x", agent=agent, async_execution=aside
        )

    tasks = [task(aside) for aside in (True, True, False)]
    crew = Crew(agents=[task.agent for task in tasks], tasks=tasks, tracing=False)
    assert tree.below(crew.kickoff).count("set") == 3


def test_an_assistant_of_autogen(tree: Tree, url: str) -> None:
    from autogen_agentchat.agents import AssistantAgent
    from autogen_core import FunctionCall
    from autogen_core.models import CreateResult, ModelInfo, RequestUsage
    from autogen_ext.models.replay import ReplayChatCompletionClient

    from botwire_autogen import BotWireChatCompletionContext, BotWireMemory, BotWireWorkbench

    given = json.dumps({"key": "city", "value": CANARY})
    calling = CreateResult(
        finish_reason="function_calls",
        content=[
            FunctionCall(id=f"{n}", name=name, arguments=given if n == 0 else '{"key": "city"}')
            for n, name in enumerate(["remember", "recall"])
        ],
        usage=RequestUsage(prompt_tokens=0, completion_tokens=0),
        cached=False,
    )
    model = ModelInfo(
        vision=False,
        function_calling=True,
        json_output=True,
        family="unknown",
        structured_output=True,
    )
    assistant = AssistantAgent(
        "assistant",
        ReplayChatCompletionClient([calling, "done"], model_info=model),
        workbench=BotWireWorkbench("ada", url=url),
        memory=[BotWireMemory("ada", url=url)],
        model_context=BotWireChatCompletionContext("ada", url=url),
        max_tool_iterations=2,
    )
    operations = tree.below(lambda: asyncio.run(assistant.run(task=CANARY)))
    assert len(operations) > 5  # context, memory and both tools
