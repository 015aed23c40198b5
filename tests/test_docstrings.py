"""The examples in docstrings of core, server and tracing say what is so; adapters run theirs."""

import doctest
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("botwire-core", "botwire-langfuse", "botwire-agentops", "botwire-humanloop")
SOURCES = [*(ROOT / "packages" / name / "src" for name in PACKAGES), ROOT / "server/src"]


def _modules() -> list[str]:
    """The modules that have examples."""
    return [
        ".".join(path.relative_to(source).with_suffix("").parts).removesuffix(".__init__")
        for source in SOURCES
        for path in sorted(source.rglob("*.py"))
        if ">>> " in path.read_text(encoding="utf-8")
    ]


@pytest.mark.parametrize("name", _modules())
def test_the_examples_of_docstrings_are_so(name: str) -> None:
    found = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert found.failed == 0
    assert found.attempted > 0
