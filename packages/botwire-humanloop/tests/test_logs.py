"""With the real SDK: memory operations in the logs of flows, and functions that keep raising."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from humanloop_kit import Service, client
from tracing_workload import CANARY, everything

import botwire_humanloop
from botwire import Conflict, Memory
from botwire_humanloop import flow, tool


def test_operations_in_a_flow_of_the_sdk_are_logged_below_it(
    service: Service, botwire_memory: Memory
) -> None:
    botwire_humanloop.instrument(service.client)

    @service.client.flow(path="support/answer")
    def answer(question: str) -> str:
        botwire_memory.set("asked", question, ttl=60)
        return str(botwire_memory.get("asked"))

    answer("why?")
    parent = service.log("support/answer")["id"]
    assert parent
    found = service.log("botwire/set")
    assert found["type"] == "tool"
    assert found["function"] == "memory_set"
    assert found["inputs"] == {"namespace": "test", "key": "asked", "ttl": "60"}
    assert found["output"] == {"count": 1, "version": 1}
    assert found["parent"] == service.log("botwire/get")["parent"] == parent


def test_operations_in_a_tool_of_the_sdk_are_logged_below_its_flow(
    service: Service, botwire_memory: Memory
) -> None:
    botwire_humanloop.instrument(service.client, prefix="memory ")

    @service.client.tool(path="lookup")
    def lookup(key: str) -> str:
        """Look it up."""
        return str(botwire_memory.get(key))

    @service.client.flow(path="agent")
    def agent() -> str:
        return str(lookup("plan"))

    agent()
    assert service.log("memory get")["parent"] == service.log("lookup")["parent"]


def test_outside_of_a_flow_nothing_is_logged(service: Service, botwire_memory: Memory) -> None:
    botwire_humanloop.instrument(service.client)
    botwire_memory.set("a", 1)
    assert service.logs() == []


def test_a_failed_operation_is_logged_with_its_kind(
    service: Service, botwire_memory: Memory
) -> None:
    botwire_humanloop.instrument(service.client)
    botwire_memory.set("a", CANARY)

    @flow(service.client, path="agent")
    def agent() -> None:
        botwire_memory.set("a", 1, if_version=0)

    with pytest.raises(Conflict):
        agent()
    assert service.log("botwire/set")["error"] == "conflict"
    assert service.log("agent")["error"] == "Conflict"
    assert CANARY not in service.endpoint.everything()


def test_what_a_flow_or_tool_raises_is_raised(service: Service) -> None:
    """The SDK's own decorators return None, or fail with another error."""

    @flow(service.client, path="agent")
    def agent() -> None:
        lookup()

    @tool(service.client, path="lookup")
    def lookup() -> None:
        raise ConnectionError(CANARY)

    with pytest.raises(ConnectionError, match=CANARY):
        agent()
    assert service.log("agent")["error"] == service.log("lookup")["error"] == "ConnectionError"
    assert service.log("agent")["status"] == "complete"
    assert CANARY not in service.endpoint.everything()


async def test_flows_and_tools_are_functions_of_every_kind(
    service: Service, botwire_memory: Memory
) -> None:
    botwire_humanloop.instrument(service.client)
    memory = botwire_memory.to_async()

    @flow(service.client)
    async def coroutine() -> int:
        await memory.get("a")
        return 1

    @flow(service.client)
    def generator() -> Iterator[int]:
        yield 1
        botwire_memory.exists("a")

    @tool(service.client)
    async def async_generator() -> AsyncIterator[int]:
        yield 1
        await asyncio.sleep(0)

    assert await coroutine() == 1
    for _ in generator():
        botwire_memory.usage()  # the consumer's own, outside of the flow
    assert [item async for item in async_generator()] == [1]
    assert inspect.isasyncgenfunction(async_generator)
    assert service.log("botwire/get")["parent"] == service.log("coroutine")["id"]
    assert service.log("botwire/exists")["parent"] == service.log("generator")["id"]
    assert service.log("async_generator")["type"] == "tool"
    assert not [log for log in service.logs() if log["path"] == "botwire/usage"]


async def test_flows_that_run_side_by_side_keep_their_operations_apart(
    service: Service, botwire_memory: Memory
) -> None:
    botwire_humanloop.instrument(service.client)
    memory = botwire_memory.to_async()

    def flow_at(path: str) -> Any:
        @flow(service.client, path=path)
        async def run() -> None:
            await memory.set(path, 1)
            await asyncio.sleep(0)
            await memory.get(path)

        return run

    await asyncio.gather(*(flow_at(f"flow {n}")() for n in range(3)))
    ids = {log["path"]: log["id"] for log in service.logs() if log["type"] == "flow"}
    operations = [log for log in service.logs() if log["type"] == "tool"]
    assert len(ids) == 3
    assert len(operations) == 6
    assert all(log["parent"] == ids[log["inputs"]["key"]] for log in operations)


async def test_a_generator_that_is_not_taken_to_its_end_is_complete_without_an_error(
    service: Service, botwire_memory: Memory
) -> None:
    @flow(service.client, path="stream")
    def stream() -> Iterator[int]:
        while True:
            yield botwire_memory.increment("n")

    @flow(service.client, path="stream later")
    async def stream_later() -> AsyncIterator[int]:
        while True:
            yield botwire_memory.increment("n")

    running, later = stream(), stream_later()
    assert (next(running), await anext(later)) == (1, 2)
    running.close()  # type: ignore[attr-defined]
    await later.aclose()  # type: ignore[attr-defined]
    for path in ("stream", "stream later"):
        assert (service.log(path)["status"], service.log(path)["error"]) == ("complete", None)


def test_flows_and_tools_nest(service: Service) -> None:
    @tool(service.client, path="lookup")
    def lookup(key: str, depth: int = 1) -> str:
        """Look it up."""
        return key

    @flow(service.client, path="inner")
    def inner() -> str:
        return lookup("plan")

    @flow(service.client, path="outer", attributes={"prompt": "v2"})
    def outer() -> str:
        return inner()

    outer()
    first, second = service.begun()
    assert first["flow"] == {"attributes": {"prompt": "v2"}}
    assert second["trace_parent_id"] == service.log("outer")["id"]
    assert service.log("lookup")["parent"] == service.log("inner")["id"]
    assert service.log("lookup")["function"] == "lookup"


def test_methods_and_lambdas_can_be_tools(service: Service) -> None:
    class Agent:
        @tool(service.client, path="method")
        def look_up(self, *keys: str) -> int:
            return len(keys)

    assert Agent().look_up("a", "b") == 2
    assert tool(service.client, path="lambda")(lambda key: key.upper())("a") == "A"
    assert {log["path"] for log in service.logs()} == {"method", "lambda"}


def test_no_value_is_sent_unless_asked(service: Service, botwire_memory: Memory) -> None:
    botwire_humanloop.instrument(service.client)

    @flow(service.client, path="agent")
    def agent(secret: str) -> Any:
        everything(botwire_memory)
        return lookup(secret)

    @tool(service.client, path="lookup")
    def lookup(secret: str) -> str:
        return secret

    assert agent(CANARY) == CANARY
    assert service.log("agent")["output"] == "(not recorded)"
    assert service.log("lookup")["output"] == "(not recorded)"
    assert len(service.logs()) > 15
    assert CANARY not in service.endpoint.everything()


def test_values_are_sent_when_asked_after_redact(service: Service, botwire_memory: Memory) -> None:
    def redact(name: str, value: Any) -> Any:
        return "***" if name == "pin" else value

    botwire_humanloop.instrument(service.client, capture_content=True, redact=redact)

    @flow(service.client, path="agent", capture_content=True, redact=redact)
    def agent(question: str, pin: str) -> Any:
        botwire_memory.set("pin", pin)
        botwire_memory.set("plan", {"step": 1})
        return {"plan": botwire_memory.get("plan")}

    agent("why?", pin=CANARY)
    assert service.begun()[0]["inputs"] == {"question": "why?", "pin": "***"}
    assert service.log("agent")["output"] == {"plan": {"step": 1}}
    assert service.log("botwire/get")["output"]["value"] == {"step": 1}
    assert CANARY not in service.endpoint.everything()


def test_functions_run_when_humanloop_cannot_be_reached(botwire_memory: Memory) -> None:
    nowhere = client("http://127.0.0.1:9/v5", timeout=0.5)

    @flow(nowhere, path="agent")
    def agent() -> int:
        return botwire_memory.set("a", 1)

    assert agent() == 1


def test_the_package_can_be_imported_without_importing_the_sdk() -> None:
    import subprocess
    import sys

    script = "import sys, botwire_humanloop; print('humanloop' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.strip() == "False", done.stderr
