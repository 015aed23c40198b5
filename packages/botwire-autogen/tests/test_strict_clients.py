"""The real Anthropic and OpenAI clients of autogen, in front of a provider of our own.

Both refuse system messages that are scattered, and the provider here refuses tool calls that are
not answered, as the real ones do.
"""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from anthropic import AsyncAnthropic
from anthropic.resources.messages import AsyncMessages
from autogen_agentchat.agents import AssistantAgent
from autogen_core.memory import ListMemory, MemoryContent
from autogen_core.model_context import (
    BufferedChatCompletionContext,
    ChatCompletionContext,
    HeadAndTailChatCompletionContext,
    TokenLimitedChatCompletionContext,
    UnboundedChatCompletionContext,
)
from autogen_core.models import ChatCompletionClient, ModelInfo
from autogen_ext.models.anthropic import BaseAnthropicChatCompletionClient
from autogen_ext.models.openai import OpenAIChatCompletionClient
from autogen_scripts import ScriptedClient

from botwire_autogen import BotWireChatCompletionContext, BotWireMemory

ONE_SYSTEM_MESSAGE = ModelInfo(
    vision=False,
    function_calling=True,
    json_output=True,
    family="unknown",
    structured_output=False,
    multiple_system_messages=False,
)


class Provider(ThreadingHTTPServer):
    """Calls the tool first and answers then, for both protocols."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.requests: list[dict[str, Any]] = []


class Handler(BaseHTTPRequestHandler):
    server: Provider

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append(request)
        reply = _anthropic(request) if "anthropic-version" in self.headers else _openai(request)
        body = json.dumps(reply).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def _anthropic(request: dict[str, Any]) -> dict[str, Any]:
    content = request["messages"][-1]["content"]
    answered = isinstance(content, list) and content[-1]["type"] == "tool_result"
    reply = {"type": "text", "text": "done"} if answered else {
        "type": "tool_use", "id": f"c{len(request['messages'])}", "name": "ping", "input": {},
    }  # fmt: skip
    return {
        "id": "m", "type": "message", "role": "assistant", "model": "m", "content": [reply],
        "stop_reason": "end_turn" if answered else "tool_use", "stop_sequence": None,
        "usage": {"input_tokens": 1, "output_tokens": 1},
    }  # fmt: skip


def _openai(request: dict[str, Any]) -> dict[str, Any]:
    answered = request["messages"][-1]["role"] == "tool"
    call = {
        "id": f"c{len(request['messages'])}",
        "type": "function",
        "function": {"name": "ping", "arguments": "{}"},
    }
    message = {"content": "done"} if answered else {"content": None, "tool_calls": [call]}
    reason = "stop" if answered else "tool_calls"
    choice = {"index": 0, "finish_reason": reason, "message": {"role": "assistant", **message}}
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    return {
        "id": "m", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice],
        "usage": usage,
    }  # fmt: skip


@pytest.fixture
def provider() -> Iterator[Provider]:
    server = Provider()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


class Messages(AsyncMessages):
    """anthropic 2.x takes no temperature, which autogen-ext 0.7 always sends."""

    async def create(self, *, temperature: Any = None, **options: Any) -> Any:
        return await super().create(**options)


class Anthropic(AsyncAnthropic):
    messages = property(Messages)


def anthropic_client(url: str) -> ChatCompletionClient:
    sdk = Anthropic(api_key="k", base_url=url, max_retries=0)
    return BaseAnthropicChatCompletionClient(
        client=sdk, create_args={"model": "m"}, model_info=ONE_SYSTEM_MESSAGE
    )


CLIENTS: dict[str, Callable[[str], ChatCompletionClient]] = {
    "anthropic": anthropic_client,
    "openai": lambda url: OpenAIChatCompletionClient(
        model="m", api_key="k", base_url=url, model_info=ONE_SYSTEM_MESSAGE, max_retries=0
    ),
}
CONTEXTS: dict[str, Callable[[str], ChatCompletionContext]] = {
    "unbounded": lambda _: UnboundedChatCompletionContext(),
    "buffered": lambda _: BufferedChatCompletionContext(5),
    "head and tail": lambda _: HeadAndTailChatCompletionContext(2, 4),
    "token limited": lambda _: TokenLimitedChatCompletionContext(
        ScriptedClient(), token_limit=100_000
    ),
    "stored": lambda url: BotWireChatCompletionContext("ada", url=url),
    "stored and buffered": lambda url: BotWireChatCompletionContext(
        "ada", view=BufferedChatCompletionContext(4), url=url
    ),
}


def ping() -> str:
    """ping"""
    return "pong"


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("context", CONTEXTS)
async def test_strict_clients_accept_ten_turns_with_memory_and_tools(
    provider: Provider, url: str, client: str, context: str
) -> None:
    memory = BotWireMemory("ada", url=url)
    await memory.add(MemoryContent(content="likes tea", mime_type="text/plain"))
    model = CLIENTS[client](provider.url)
    agent = AssistantAgent(
        "bot",
        model,
        tools=[ping],
        memory=[memory],
        model_context=CONTEXTS[context](url),
        max_tool_iterations=2,
    )
    for turn in range(10):
        result = await agent.run(task=f"question {turn}")
        assert result.messages[-1].to_text() == "done"
    await model.close()
    assert len(provider.requests) == 20
    for request in provider.requests:
        assert json.dumps(request).count("- likes tea") == 1
        assert _every_call_is_answered(request)


def _every_call_is_answered(request: dict[str, Any]) -> bool:
    """A provider's rule: results follow their calls at once, and follow nothing else."""
    text = json.dumps(request["messages"])
    calls = text.count('"tool_use"') + text.count('"tool_calls"')
    results = text.count('"tool_result"') + text.count('"role": "tool"')
    return calls == results


@pytest.mark.parametrize("client", CLIENTS)
async def test_the_memory_of_autogen_itself_is_refused_by_these_clients(
    provider: Provider, client: str
) -> None:
    memory = ListMemory()
    await memory.add(MemoryContent(content="likes tea", mime_type="text/plain"))
    model = CLIENTS[client](provider.url)
    agent = AssistantAgent("bot", model, memory=[memory])
    with pytest.raises(ValueError, match="system messages"):
        await agent.run(task="What do I drink?")
    await model.close()
    assert provider.requests == []
