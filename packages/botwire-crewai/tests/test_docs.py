"""The README, the page in docs/, every docstring and the example say what is true: they run."""

import doctest
import importlib
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from crewai.memory.storage.factory import set_memory_storage_factory
from crewai_core.lock_store import set_lock_backend
from scripted_model import ScriptedModel, words
from storage_help import newer

import botwire_crewai
from botwire import Memory

ROOT = Path(__file__).parents[3]
PAGES = [ROOT / "packages/botwire-crewai/README.md", ROOT / "docs/crewai.md"]
MODULES = [f"botwire_crewai.{room.name}" for room in pkgutil.iter_modules(botwire_crewai.__path__)]


@pytest.fixture(autouse=True)
def _nothing_stays_registered() -> Iterator[None]:
    yield
    set_memory_storage_factory(None)
    set_lock_backend(None)


@pytest.mark.parametrize(
    "page", [PAGES[0], pytest.param(PAGES[1], marks=newer)], ids=lambda page: page.name
)
def test_the_snippets_of_a_page_run_from_top_to_bottom(page: Path, tmp_path: Path) -> None:
    # One process keeps one connection to one URL, so each page needs a file of its own.
    text = page.read_text().replace("sqlite:///memory.db", f"sqlite:///{tmp_path}/memory.db")
    names: dict[str, Any] = {
        "__name__": "page",
        "llm": ScriptedModel(style="native", script=["done"] * 20),
        "embedder": words,
    }
    snippets = list(re.finditer(r"```python\n(.*?)```", text, re.DOTALL))
    assert snippets
    for snippet in snippets:
        line = text.count("\n", 0, snippet.start()) + 1
        exec(compile("\n" * line + snippet[1], str(page), "exec"), names)
    assert (tmp_path / "memory.db").exists()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_public_name_is_told_of(page: Path) -> None:
    text = page.read_text()
    assert [name for name in botwire_crewai.__all__ if name not in text] == []


def test_every_tool_and_its_arguments_are_in_the_table() -> None:
    text = PAGES[1].read_text()
    for tool in botwire_crewai.memory_tools("any", url="memory://", more="all"):
        row = re.search(rf"^\| `{tool.name}` \|.*$", text, re.MULTILINE)
        assert row, tool.name
        for argument in tool.args_schema.model_fields:
            assert f"`{argument}`" in row[0], (tool.name, argument)


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_docstrings_run(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__doc__, "a room says what it is for"
    assert doctest.testmod(module).failed == 0


def test_the_team_of_the_example_goes_on_where_it_stopped(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "examples/crewai_team.py"), "heat pumps"]
    said = [
        subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, timeout=100, check=True
        ).stdout
        for _ in range(2)
    ]
    assert "Researcher: Found out about heat pumps" in said[0]
    assert "Writer: Draft 1: What matters about heat pumps." in said[0]
    assert "Researcher: Known already, from the handbook." in said[1]
    assert "Writer: Draft 2" in said[1]
    url = f"sqlite:///{tmp_path}/memory.db"
    kept = {
        "project-alpha-shared": ["finding:heat pumps"],
        "project-alpha-researcher": ["read:heat pumps"],
        "project-alpha-writer": ["draft:heat pumps"],
    }
    for namespace, keys in kept.items():
        assert Memory(namespace, url=url).list_keys() == keys
