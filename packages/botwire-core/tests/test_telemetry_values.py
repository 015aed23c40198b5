"""No value leaves the process in a span unless asked for, and then as was asked."""

import json
from collections.abc import Generator
from typing import Any

import pytest
from spans_kit import Spans
from tracing_workload import CANARY, everything

from botwire import Conflict, Memory
from botwire.telemetry.content import Content


@pytest.fixture
def spans() -> Generator[Spans]:
    spans = Spans()
    with spans.recording(Content(capture=False)):
        yield spans


def test_no_value_leaves_the_process_unless_asked(spans: Spans, botwire_memory: Memory) -> None:
    everything(botwire_memory)
    assert len(spans.all()) > 15
    assert CANARY not in spans.text()


def test_values_are_recorded_when_asked_as_the_conventions_want_them(
    botwire_memory: Memory,
) -> None:
    spans = Spans()
    with spans.recording(Content(capture=True)):
        botwire_memory.set("a", {"theme": "dark"}, ttl=9)
        written = spans.attributes()
        botwire_memory.get("a")
    read = spans.attributes()
    records = [{"id": "a", "content": {"theme": "dark"}}]
    assert json.loads(written["gen_ai.memory.records"]) == records
    assert json.loads(read["gen_ai.memory.records"]) == records
    assert json.loads(written["input.value"]) == {
        "key": "a",
        "ttl": 9,
        "value": {"theme": "dark"},
    }
    assert json.loads(read["output.value"]) == {
        "count": 1,
        "version": 1,
        "value": {"theme": "dark"},
    }


def test_every_attribute_is_of_a_kind_that_every_exporter_carries(
    botwire_memory: Memory,
) -> None:
    spans = Spans()
    with spans.recording(Content(capture=True)):
        everything(botwire_memory)
    kinds = {type(value) for span in spans.all() for value in (span.attributes or {}).values()}
    assert kinds <= {str, int, float, bool}


@pytest.mark.parametrize("setting", ["true", "SPAN_ONLY", "SPAN_AND_EVENT"])
def test_the_standard_variable_asks_for_values(
    setting: str, monkeypatch: pytest.MonkeyPatch, botwire_memory: Memory
) -> None:
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", setting)
    spans = Spans()
    with spans.recording():
        botwire_memory.set("a", CANARY)
    assert CANARY in spans.text()


@pytest.mark.parametrize("setting", ["", "false", "NO_CONTENT", "EVENT_ONLY"])
def test_no_other_setting_of_it_does(
    setting: str, monkeypatch: pytest.MonkeyPatch, botwire_memory: Memory
) -> None:
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", setting)
    spans = Spans()
    with spans.recording():
        everything(botwire_memory)
    assert CANARY not in spans.text()


def test_values_pass_through_redact_in_every_operation(botwire_memory: Memory) -> None:
    spans = Spans()
    with spans.recording(Content(capture=True, redact=lambda key, value: f"hidden {key}")):
        everything(botwire_memory)
    assert CANARY not in spans.text()
    assert "hidden a" in spans.text()


def test_redact_is_asked_once_for_each_value(botwire_memory: Memory) -> None:
    spans, asked = Spans(), list[str]()

    def redact(key: str, value: Any) -> Any:
        asked.append(key)
        return f"hidden {len(asked)}"

    with spans.recording(Content(capture=True, redact=redact)):
        botwire_memory.set("written", 1)
        botwire_memory.get("written")
        botwire_memory.get_many(["written"])
        botwire_memory.pop("written")
    assert asked == ["written"] * 4


def test_a_redact_that_fails_records_nothing_and_breaks_nothing(botwire_memory: Memory) -> None:
    def broken(key: str, value: Any) -> Any:
        raise ValueError(f"cannot redact {value}")

    spans = Spans()
    with spans.recording(Content(capture=True, redact=broken)):
        everything(botwire_memory)
    assert CANARY not in spans.text()


def test_names_can_be_hashed(botwire_memory: Memory) -> None:
    spans = Spans()
    secret = botwire_memory.namespaced("patient Kowalski")
    with spans.recording(Content(capture=True, hash_keys=True)):
        secret.set("patient Kowalski:diagnosis", 1)
        secret.get_many(["patient Kowalski:diagnosis"])
        secret.list_keys("patient Kowalski")
        secret.set_many({"patient Kowalski:x": 1})
        with secret.batch() as batch:
            batch.get("patient Kowalski:x")
        with pytest.raises(Conflict):
            secret.set("patient Kowalski:x", 1, if_version=0)
    assert "Kowalski" not in spans.text()
    assert spans.attributes()["gen_ai.memory.record.id"].startswith("sha256:")
