"""The README and the page of the documentation are code: every block of them runs, in order."""

import doctest
import re
import warnings
from importlib import import_module
from pathlib import Path

import pytest
from agent_kit import ScriptedModel
from langchain_core.messages import AIMessage

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "langchain.md"
PAGES = [PAGE, ROOT / "packages" / "botwire-langchain" / "README.md"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_runs(page: Path, tmp_path: Path) -> None:
    # An address of its own: connections are shared by address, and a relative one says no folder.
    text = page.read_text().replace("sqlite:///memory.db", f"sqlite:///{tmp_path}/memory.db")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert blocks
    names = {"model": ScriptedModel(script=[AIMessage("Hello.")]), "__name__": "__main__"}
    for block in blocks:
        with warnings.catch_warnings(action="ignore"):  # LangChain's, about its legacy classes
            exec(compile(block, str(page), "exec"), names)
    assert (tmp_path / "memory.db").exists()


SOURCE = ROOT / "packages" / "botwire-langchain" / "src"
MODULES = [
    ".".join(path.relative_to(SOURCE).with_suffix("").parts)
    for path in sorted(SOURCE.rglob("*.py"))
    if ">>>" in path.read_text()
]


@pytest.mark.parametrize("module", MODULES)
def test_every_example_in_a_docstring_is_right(module: str) -> None:
    found = doctest.testmod(import_module(module))
    assert found.attempted > 0
    assert found.failed == 0


def test_every_claim_names_a_test_that_exists() -> None:
    tests = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    claimed = re.findall(r"^\|.*?\| `(test_\w+)`", PAGE.read_text(), re.MULTILINE)
    assert len(claimed) == 17
    assert [name for name in claimed if f"def {name}(" not in tests] == []
