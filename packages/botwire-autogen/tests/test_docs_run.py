"""Every snippet of the README and of the page runs, in order, as it stands."""

import ast
import asyncio
import doctest
import importlib
import inspect
import pkgutil
import re
from pathlib import Path
from typing import Any

import pytest

import botwire_autogen

ROOT = Path(__file__).parents[3]
PAGES = ("packages/botwire-autogen/README.md", "docs/autogen.md")


def snippets(page: str) -> list[str]:
    """The Python code of a page, each piece at the lines where it stands."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return [
        "\n" * text[: found.start(1)].count("\n") + found[1]
        for found in re.finditer(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    ]


def run(page: str, folder: Path) -> None:
    """Run a page with its memory in a folder; where it awaits, it runs in one event loop."""
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    names: dict[str, Any] = {"__name__": "page"}
    url = f"sqlite:///{folder}/memory.db"  # a relative one means one file for the whole process
    texts = [code.replace("sqlite:///memory.db", url) for code in snippets(page)]
    codes = [compile(code, page, "exec", flags) for code in texts]
    awaiting = any(code.co_flags & inspect.CO_COROUTINE for code in codes)

    async def each() -> None:
        for code in codes:
            result = eval(code, names)
            if inspect.isawaitable(result):
                await result

    if awaiting:
        asyncio.run(each())
    else:
        for code in codes:
            eval(code, names)


@pytest.mark.parametrize("page", PAGES)
def test_the_code_on_the_page_runs_as_it_stands(page: str, tmp_path: Path) -> None:
    run(page, tmp_path)
    assert (tmp_path / "memory.db").exists()


def modules() -> list[str]:
    found = pkgutil.walk_packages(botwire_autogen.__path__, "botwire_autogen.")
    return ["botwire_autogen", *(module.name for module in found)]


@pytest.mark.parametrize("name", modules())
def test_the_examples_in_the_docstrings_say_what_they_do(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOTWIRE_URL", "memory://")
    failed, _ = doctest.testmod(importlib.import_module(name))
    assert failed == 0
