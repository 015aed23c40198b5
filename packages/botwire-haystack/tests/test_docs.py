"""The README, the page in docs/ and every docstring say what is true: they run."""

import doctest
import importlib
import re
from pathlib import Path
from typing import Any

import pytest
from haystack_scripts import awaited, resumes

import botwire_haystack

ROOT = Path(__file__).parents[3]
SOURCE = ROOT / "packages" / "botwire-haystack" / "src"
PAGES = [ROOT / "packages" / "botwire-haystack" / "README.md", ROOT / "docs" / "haystack.md"]


def modules() -> list[str]:
    files = (SOURCE / "haystack_integrations").rglob("*.py")
    names = [".".join(file.relative_to(SOURCE).with_suffix("").parts) for file in files]
    return sorted(name.removesuffix(".__init__") for name in names)


@resumes
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_snippets_of_a_page_run_from_top_to_bottom(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = page.read_text()
    names: dict[str, Any] = {"__name__": "page"}
    snippets = list(re.finditer(r"```python\n(.*?)```", text, re.DOTALL))
    assert snippets
    for snippet in snippets:
        line = text.count("\n", 0, snippet.start()) + 1
        code = compile("\n" * line + snippet[1], str(page), "exec")
        exec(code, names)
    assert (tmp_path / "memory.db").exists()
    for thing in names.values():
        if hasattr(thing, "close_async") and not isinstance(thing, type):
            awaited(thing.close_async())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_public_class_is_named(page: Path) -> None:
    text = page.read_text()
    assert [name for name in botwire_haystack.__all__ if name not in text] == []


@pytest.mark.parametrize("name", modules())
def test_the_examples_of_docstrings_run(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name))
    assert result.failed == 0


def test_every_public_name_is_reached_from_one_module() -> None:
    packages = [name for name in modules() if name.endswith(".botwire") and ".common" not in name]
    public = {name for package in packages for name in importlib.import_module(package).__all__}
    assert public == set(botwire_haystack.__all__)


def test_every_room_says_what_it_is_for() -> None:
    for name in modules():
        assert importlib.import_module(name).__doc__, name


def test_no_namespace_above_botwire_is_claimed() -> None:
    """Other integrations put their packages beside these; an `__init__` would hide them."""
    for folder in (SOURCE / "haystack_integrations").rglob("*"):
        if folder.is_dir() and folder.name not in ("botwire", "__pycache__"):
            assert not (folder / "__init__.py").exists(), folder
            assert not (folder / "py.typed").exists(), folder
