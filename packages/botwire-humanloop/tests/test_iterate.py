"""Variants of a prompt are tried on forks of one memory, and compared."""

import math
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from botwire import AsyncMemory, Memory
from botwire.errors import InvalidRequest
from botwire.testing import ServerProcess
from botwire_humanloop import Changes, Report, iterate

VARIANTS = {"short": "Be brief.", "kind": "Be kind."}
QUESTIONS = [{"question": "who am I?"}, {"question": "what do I like?"}]


def answer(prompt: str, inputs: dict[str, Any], memory: Memory) -> str:
    """Remembers more when it is told to be kind."""
    memory.increment("asked")
    memory.append("asked about", inputs["question"])
    if "kind" in prompt:
        memory.set("mood", "friendly")
        memory.delete("draft")
    return f"{memory.get('name')}: {inputs['question']}"


@pytest.fixture
def memory(botwire_memory: Memory) -> Memory:
    botwire_memory.set_many({"name": "Ada", "draft": "x", "asked": 1})
    return botwire_memory


def test_each_variant_answers_all_data_from_the_same_start(memory: Memory) -> None:
    report = iterate(VARIANTS, QUESTIONS, answer, memory)
    for variant in report.variants.values():
        assert [a.output for a in variant.answers] == ["Ada: who am I?", "Ada: what do I like?"]
        assert variant.remembered.changed["asked"] == (1, 3)


def test_what_each_variant_remembered_is_told_apart(memory: Memory) -> None:
    report = iterate(VARIANTS, QUESTIONS, answer, memory)
    short, kind = report.variants["short"].remembered, report.variants["kind"].remembered
    asked = ["who am I?", "what do I like?"]
    assert short == Changes({"asked about": asked}, {"asked": (1, 3)}, {})
    assert kind.added == {"asked about": asked, "mood": "friendly"}
    assert kind.removed == {"draft": "x"}


def test_the_memory_itself_stays_as_it_was(memory: Memory) -> None:
    before = dict(memory.items()), memory.usage().version
    iterate(VARIANTS, QUESTIONS, answer, memory)
    assert (dict(memory.items()), memory.usage().version) == before


def test_forks_are_cleared_unless_they_are_kept(memory: Memory) -> None:
    fork = memory.namespaced("test/variants/short")
    iterate(VARIANTS, QUESTIONS, answer, memory)
    assert not fork.list_keys()
    iterate(VARIANTS, QUESTIONS, answer, memory, keep=True)
    assert fork.get("asked") == 3
    iterate(VARIANTS, QUESTIONS, answer, memory, keep=True)
    assert fork.get("asked") == 3  # a second round starts anew


def test_a_fork_keeps_types_expiry_and_thousands_of_entries(botwire_memory: Memory) -> None:
    values = {f"{n:05}": {"n": n, "big": 10**30, "text": "\ud800"} for n in range(2500)}
    botwire_memory.set_many(values)
    botwire_memory.set("soon", 1, ttl=500)
    botwire_memory.set("sliding", 1, ttl=900, sliding=True)
    seen: dict[str, Any] = {}

    def look(prompt: str, inputs: dict[str, Any], memory: Memory) -> None:
        seen.update(memory.items())
        seen["ttls"] = memory.ttl("soon"), memory.ttl("00001"), memory.entry("sliding")

    iterate({"only": ""}, [{}], look, botwire_memory)
    soon, never, sliding = seen.pop("ttls")
    assert seen == values | {"soon": 1, "sliding": 1}
    assert 490 < soon <= 500
    assert never == math.inf
    assert (sliding.ttl, sliding.sliding) == (900, True)


def test_a_failure_is_an_answer_and_the_others_go_on(memory: Memory) -> None:
    def fails(prompt: str, inputs: dict[str, Any], memory: Memory) -> str:
        if "kind" in prompt and "who" in inputs["question"]:
            raise TimeoutError("no model")
        return "ok"

    report = iterate(VARIANTS, QUESTIONS, fails, memory, score=lambda *_: 1)
    kind = report.variants["kind"]
    assert [str(error) for error in kind.errors] == ["no model"]
    assert (kind.score, report.variants["short"].score) == (0.5, 1.0)
    assert "! TimeoutError: no model" in str(report)


def test_scores_compare_the_variants(memory: Memory) -> None:
    def score(inputs: dict[str, Any], output: str, memory: Memory) -> float:
        return float(memory.get("mood") == "friendly")

    report = iterate(VARIANTS, QUESTIONS, answer, memory, score=score)
    assert report.best is report.variants["kind"]
    assert iterate(VARIANTS, QUESTIONS, answer, memory).best is None


def test_the_inputs_of_the_data_set_cannot_be_changed_by_an_answer(memory: Memory) -> None:
    def spoils(prompt: str, inputs: dict[str, Any], memory: Memory) -> Any:
        return inputs.pop("question")

    report = iterate(VARIANTS, QUESTIONS, spoils, memory)
    assert report.variants["kind"].answers[0].output == "who am I?"


async def test_asynchronous_answers_work_on_an_asynchronous_memory() -> None:
    memory = AsyncMemory("async", url="memory://")
    await memory.set("asked", 0)

    async def asks(prompt: str, inputs: dict[str, Any], memory: AsyncMemory) -> Any:
        return await memory.increment("asked")

    async def streams(prompt: str, inputs: dict[str, Any], memory: AsyncMemory) -> AsyncIterator:
        yield await memory.increment("asked")
        yield prompt

    async def fails(prompt: str, inputs: dict[str, Any], memory: AsyncMemory) -> None:
        raise TimeoutError

    report = await iterate(VARIANTS, QUESTIONS, asks, memory)
    assert [a.output for a in report.variants["kind"].answers] == [1, 2]
    report = await iterate(VARIANTS, QUESTIONS, streams, memory)
    assert report.variants["short"].answers[1].output == [2, "Be brief."]
    report = await iterate(VARIANTS, QUESTIONS, fails, memory)
    assert len(report.variants["short"].errors) == 2
    assert await memory.get("asked") == 0


def test_an_asynchronous_answer_needs_an_asynchronous_memory(memory: Memory) -> None:
    async def asks(*_: Any) -> None: ...

    with pytest.raises(InvalidRequest, match="AsyncMemory"):
        iterate(VARIANTS, QUESTIONS, asks, memory)


def test_a_generator_s_items_are_collected(memory: Memory) -> None:
    def streams(prompt: str, inputs: dict[str, Any], memory: Memory) -> Iterator[str]:
        yield from prompt.split()

    report = iterate(VARIANTS, QUESTIONS, streams, memory)
    assert report.variants["kind"].answers[0].output == ["Be", "kind."]


def test_no_variant_is_refused(memory: Memory) -> None:
    with pytest.raises(InvalidRequest, match="no variant"):
        iterate({}, QUESTIONS, answer, memory)


def test_the_report_is_three_tables(memory: Memory) -> None:
    report = iterate(VARIANTS, QUESTIONS, answer, memory, score=lambda *_: 0.5)
    for variant in report.variants.values():
        variant.seconds = 0.25
    assert str(report).splitlines() == [
        "variant | answers | errors | score | added | changed | removed | seconds",
        "--------+---------+--------+-------+-------+---------+---------+--------",
        "short   | 2       | 0      | 0.50  | 1     | 1       | 0       | 0.25",
        "kind    | 2       | 0      | 0.50  | 2     | 1       | 1       | 0.25",
        "",
        "data point      | short                | kind",
        "----------------+----------------------+---------------------",
        "who am I?       | Ada: who am I?       | Ada: who am I?",
        "what do I like? | Ada: what do I like? | Ada: what do I like?",
        "",
        "remembered  | short                            | kind",
        "------------+----------------------------------+---------------------------------",
        "asked       | 3                                | 3",
        "asked about | ['who am I?', 'what do I like?'] | ['who am I?', 'what do I like?']",
        "draft       | =                                | (removed)",
        "mood        | =                                | friendly",
    ]


def test_a_report_can_be_remembered_for_the_next_round(memory: Memory) -> None:
    report = iterate(VARIANTS, QUESTIONS, answer, memory, score=lambda *_: 1)
    rounds = memory.namespaced("prompt rounds")
    rounds.append("support", report.as_dict())
    (last,) = rounds.tail("support", 1)
    assert last["kind"]["score"] == 1.0
    assert last["kind"]["removed"] == {"draft": "x"}


def test_an_empty_data_set_leaves_nothing_to_tell(memory: Memory) -> None:
    report: Report = iterate(VARIANTS, [], answer, memory, score=lambda *_: 1)
    assert report.variants["kind"].score is None
    assert "kind" in str(report)


def test_forks_work_on_a_server(botwire_server: ServerProcess) -> None:
    with botwire_server.memory("support") as memory:
        memory.set_many({"name": "Ada", "draft": "x", "asked": 1})
        report = iterate(VARIANTS, QUESTIONS, answer, memory)
        assert report.variants["kind"].remembered.changed == {"asked": (1, 3)}
        assert memory.get("asked") == 1
