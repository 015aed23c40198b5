"""Run variants of a prompt over the same data, each on its own fork of the same memory.

- The memory that is given is the start of every variant; none of them changes it or sees another.
- A fork is a namespace of its own at the same place, `<namespace>/variants/<name>`. Whatever is
  there is cleared first, and the fork too at the end unless it is to be kept.
- One round at a time: a round that is broken off leaves the fork it was at, and the next clears it.
- A data point that fails is an answer like any other: the next one and the other variants go on.
"""

import inspect
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping, Sequence
from typing import Any, cast, overload

from botwire import AsyncMemory, Memory
from botwire.errors import InvalidRequest
from botwire.handle import Flow
from botwire.jsontext import encode
from botwire.operations import Batch, Clear, Entry, Page, Scan, Set
from botwire_humanloop.report import Answer, Changes, Report, Variant

__all__ = ["iterate"]

Function = Callable[..., Any]


@overload
def iterate(
    variants: Mapping[str, Any],
    dataset: Sequence[Mapping[str, Any]],
    answer: Function,
    memory: Memory,
    *,
    score: Function | None = None,
    keep: bool = False,
) -> Report: ...
@overload
def iterate(
    variants: Mapping[str, Any],
    dataset: Sequence[Mapping[str, Any]],
    answer: Function,
    memory: AsyncMemory,
    *,
    score: Function | None = None,
    keep: bool = False,
) -> Awaitable[Report]: ...
def iterate(
    variants: Mapping[str, Any],
    dataset: Sequence[Mapping[str, Any]],
    answer: Function,
    memory: Memory | AsyncMemory,
    *,
    score: Function | None = None,
    keep: bool = False,
) -> Any:
    """Try each variant of a prompt on its own fork of a memory, and compare what came of it.

    With an `AsyncMemory` it is awaited, and `answer` and `score` may be coroutine functions; a
    generator's items are collected in a list.

    Args:
        variants: the prompts by name, in whatever form `answer` takes them.
        dataset: inputs by name, one mapping for each data point, in the order they are asked.
        answer: `answer(prompt, inputs, memory)` returns the output, and remembers in the `memory`
            it is given.
        memory: what every variant starts from.
        score: `score(inputs, output, memory)` returns a number, higher for better.
        keep: leave the forks where they are.

    Raises:
        InvalidRequest: there is no variant.

    >>> def answer(prompt, inputs, memory):
    ...     memory.increment("asked")
    ...     return f"{prompt} {inputs['name']}!"
    >>> memory = Memory("docs", url="memory://")
    >>> report = iterate({"warm": "Dear", "cool": "Hi"}, [{"name": "Ada"}], answer, memory)
    >>> report.variants["warm"].answers[0].output
    'Dear Ada!'
    >>> report.variants["cool"].remembered.added
    {'asked': 1}
    """
    if not variants:
        raise InvalidRequest("there is no variant to try", hint='Pass {"name": prompt, ...}.')
    points = [dict(inputs) for inputs in dataset]
    return memory.drive(_report(variants, points, answer, memory, score, keep))


def _report(
    variants: Mapping[str, Any],
    dataset: list[dict[str, Any]],
    answer: Function,
    memory: Memory | AsyncMemory,
    score: Function | None,
    keep: bool,
) -> Flow:
    start: list[Entry] = yield from _entries(memory.namespace)
    before = {entry.key: entry.value for entry in start}
    report = Report(dataset, {})
    for name, prompt in variants.items():
        fork = memory.namespaced(f"{memory.namespace}/variants/{name}")
        variant = report.variants[name] = Variant(name)
        yield from _copy(start, fork.namespace)
        started = time.perf_counter()
        for inputs in dataset:
            variant.answers.append((yield from _answered(answer, prompt, inputs, fork, score)))
        variant.seconds = time.perf_counter() - started
        entries: list[Entry] = yield from _entries(fork.namespace)
        variant.remembered = Changes.between(before, {e.key: e.value for e in entries})
        if not keep:
            yield Clear(fork.namespace)
    return report


def _answered(
    answer: Function,
    prompt: Any,
    inputs: dict[str, Any],
    fork: Memory | AsyncMemory,
    score: Function | None,
) -> Flow:
    output, error = yield from _tried(answer, prompt, dict(inputs), fork)
    if error is not None or score is None:
        return Answer(output, error)
    scored, error = yield from _tried(score, dict(inputs), output, fork)
    return Answer(output, error, None if scored is None else float(scored))


def _tried(function: Function, *args: Any) -> Flow:
    """(result, error) of a function of any kind; the flow's driver awaits what can be awaited."""
    try:
        result = function(*args)
        if inspect.isgenerator(result):
            return list(cast("Generator[Any]", result)), None
    except Exception as error:
        return None, error
    if inspect.isawaitable(result) or inspect.isasyncgen(result):
        if not isinstance(args[-1], AsyncMemory):
            if inspect.iscoroutine(result):
                result.close()  # or Python would warn that nobody awaited it
            raise InvalidRequest("this function is asynchronous", hint="Pass an AsyncMemory.")
        return (yield _awaited(result))
    return result, None


async def _awaited(result: Any) -> tuple[Any, Exception | None]:
    try:
        if inspect.isasyncgen(result):
            return [item async for item in cast("AsyncGenerator[Any]", result)], None
        return await result, None
    except Exception as error:
        return None, error


def _entries(namespace: str) -> Flow:
    entries: list[Entry] = []
    scan: Scan | None = Scan(namespace)
    while scan is not None:
        page: Page = yield scan
        entries += page.entries
        scan = scan.after_cursor(page.cursor)
    return entries


def _copy(entries: Sequence[Entry], namespace: str, at_once: int = 500) -> Flow:
    yield Clear(namespace)
    for first in range(0, len(entries), at_once):
        part = entries[first : first + at_once]
        yield Batch(namespace, tuple(_set(namespace, entry) for entry in part))


def _set(namespace: str, entry: Entry) -> Set:
    """What expires goes on expiring when it would have; a sliding ttl starts anew."""
    ttl = entry.ttl if entry.sliding else entry.expires_in
    return Set(namespace, entry.key, encode(entry.value), ttl, entry.sliding)
