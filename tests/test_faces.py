"""The two faces agree, and the package shows what it should and no more."""

import inspect
import pkgutil
import subprocess
import sys
from importlib import import_module

import pytest

import botwire
from botwire import AsyncMemory, Memory
from botwire.batch import Batch

MAPPING = {"keys", "values", "to_async"}  # what only Memory has
ASYNC = {"to_sync"}


def public(kind: type) -> dict[str, object]:
    return {
        name: getattr(kind, name)
        for name in dir(kind)
        if not name.startswith("_") and callable(getattr(kind, name))
    }


def shape(method: object) -> list[tuple[str, object, object]]:
    parameters = inspect.signature(method).parameters.values()  # type: ignore[arg-type]
    return [(each.name, each.kind, each.default) for each in parameters]


def test_both_faces_have_the_same_methods() -> None:
    assert set(public(Memory)) - MAPPING == set(public(AsyncMemory)) - ASYNC


@pytest.mark.parametrize("name", sorted(set(public(Memory)) - MAPPING))
def test_both_faces_take_the_same_arguments_and_say_the_same(name: str) -> None:
    one, other = public(Memory)[name], public(AsyncMemory)[name]
    assert shape(one) == shape(other)
    assert one.__doc__
    if name != "batch":  # which says how it is awaited
        assert inspect.getdoc(one) == inspect.getdoc(other)


@pytest.mark.parametrize("name", sorted(set(public(Batch)) - {"add"}))
def test_a_batch_takes_what_the_memory_takes(name: str) -> None:
    given, wanted = shape(public(Batch)[name]), shape(public(Memory)[name])
    assert given == [each for each in wanted if each[0] != "default"]


def test_every_async_method_is_awaited_or_iterated() -> None:
    plain = {"batch", "namespaced", "to_sync"}
    for name, method in public(AsyncMemory).items():
        awaited = inspect.iscoroutinefunction(method) or inspect.isasyncgenfunction(method)
        assert awaited or name in plain, name


def modules() -> list[str]:
    found = pkgutil.walk_packages(botwire.__path__, "botwire.")
    return [module.name for module in found if not module.ispkg or "." in module.name]


@pytest.mark.parametrize("name", ["botwire", *modules()])
def test_a_room_says_what_it_is_for_and_has_what_it_names(name: str) -> None:
    module = import_module(name)
    assert module.__doc__, f"{name} does not say what it is for"
    assert [each for each in getattr(module, "__all__", ()) if not hasattr(module, each)] == []


def test_the_package_shows_a_handful_of_names() -> None:
    assert len(botwire.__all__) <= 12
    assert set(botwire.__all__) <= set(dir(botwire))


def test_importing_the_package_costs_little() -> None:
    code = (
        "import sys; import botwire; from botwire import Memory, AsyncMemory;"
        "heavy = {'httpx', 'httpcore', 'pytest', 'sqlite3', 'fastapi', 'opentelemetry', 'asyncio'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_pytest_is_imported_by_the_testing_room_alone() -> None:
    names = [name for name in modules() if not name.startswith("botwire.testing")]
    code = f"import sys\nfor name in {names!r}: __import__(name)\nprint('pytest' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"
