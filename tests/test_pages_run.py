"""What a page shows is run, and what it says is printed is printed.

- ```python: a line `print(...)  # text` prints that text. Blocks of one page share their names.
- ```console: lines that begin with `$ ` are run, the others are their output; `...` stands for
  any text. Blocks of one page share a folder.
- ```sh: what runs for ever or changes the machine. It is not run.
- A page that names `http://127.0.0.1:8000` is given a server of its own.
"""

import gc
import os
import re
import subprocess
import sys
from contextlib import chdir, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from botwire.testing import ServerProcess

ROOT = Path(__file__).parents[1]
NAMES = "README docs/guide docs/http docs/server docs/running docs/scaling docs/cli server/README"
PACKAGES = "packages/botwire/README packages/botwire-core/README"
PAGES = [ROOT / f"{name}.md" for name in [*NAMES.split(), *PACKAGES.split()]]
SERVER = "http://127.0.0.1:8000"
MARK = "~~ end of output ~~"


class Snippet(NamedTuple):
    """A block of code in a page, and the line it begins at."""

    language: str
    code: str
    line: int


def snippets(text: str) -> list[Snippet]:
    found = re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return [Snippet(part[1], part[2], text[: part.start()].count("\n") + 2) for part in found]


def run_page(page: Path, folder: Path) -> int:
    """Run the blocks of a page in an empty folder; returns how many were run."""
    text = page.read_text(encoding="utf-8")
    with chdir(folder):
        if SERVER not in text:
            return _run(page.name, text)
        with ServerProcess(f"sqlite:///{folder / 'server.db'}") as server:
            return _run(page.name, text.replace(SERVER, server.url))


def _run(page: str, text: str) -> int:
    names: dict[str, Any] = {"__name__": "page"}
    for snippet in _runnable(text):
        where = f"{page}, line {snippet.line}"
        if snippet.language == "python":
            _run_python(snippet, names, where)
        else:
            _run_console(snippet, where)
    names.clear()
    gc.collect()  # memories that were not closed: the next page's file has the same address
    return len(_runnable(text))


def _runnable(text: str) -> list[Snippet]:
    return [part for part in snippets(text) if part.language in ("python", "console")]


def _run_python(snippet: Snippet, names: dict[str, Any], where: str) -> None:
    code = compile("\n" * (snippet.line - 1) + snippet.code, where, "exec")
    promised = re.findall(r"^\s*print\(.*\)  # (.*)$", snippet.code, re.MULTILINE)
    printed = StringIO()
    with redirect_stdout(printed):
        exec(code, names)
    assert printed.getvalue().splitlines() == promised, where


def _run_console(snippet: Snippet, where: str) -> None:
    commands = re.findall(r"^\$ (.*)$", snippet.code, re.MULTILINE)
    promised = re.split(r"^\$ .*\n", snippet.code, flags=re.MULTILINE)[1:]
    script = "".join(f"{command}\ncode=$?; echo '{MARK}'; (exit $code)\n" for command in commands)
    done = subprocess.run(
        ["bash", "-c", script],
        env=_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=60,
    )
    printed = done.stdout.split(f"{MARK}\n")
    for command, expected, given in zip(commands, promised, printed, strict=False):
        pattern = re.escape(expected.rstrip("\n")).replace(r"\.\.\.", ".*?")
        assert re.fullmatch(pattern, given.rstrip("\n"), re.DOTALL), (
            f"{where}\n$ {command}\n{given}instead of\n{expected}"
        )


def _environment() -> dict[str, str]:
    own = {key: value for key, value in os.environ.items() if not key.startswith("BOTWIRE_")}
    return own | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_the_page_shows_is_so(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in [name for name in os.environ if name.startswith("BOTWIRE_")]:
        monkeypatch.delenv(name)
    run_page(page, tmp_path)


def test_each_page_has_something_to_run():
    assert [page for page in PAGES if not _runnable(page.read_text(encoding="utf-8"))] == []


def test_whatever_page_shows_code_is_run_by_a_test():
    """Pages of adapters need what the tests of their packages have."""
    folders = (ROOT / "tests", *ROOT.glob("packages/*/tests"), ROOT / "server/tests")
    tests = "".join(
        path.read_text(encoding="utf-8") for folder in folders for path in folder.rglob("*.py")
    )
    others = [page for page in ROOT.glob("docs/**/*.md") if page not in PAGES]
    showing = [page.name for page in others if _runnable(page.read_text(encoding="utf-8"))]
    assert [name for name in showing if name not in tests] == []


@pytest.mark.parametrize(
    "text",
    [
        "```python\nprint(1 + 1)  # 3\n```\n",
        "```python\nprint(1)\n```\n",
        "```python\nprint(1)  # 1\nprint(2)  # 2\nprint(3)\n```\n",
        "```console\n$ echo a\nb\n```\n",
        "```console\n$ echo a; echo b\na\n```\n",
        "```console\n$ echo a\na\n$ (exit 3)\n$ echo $?\n4\n```\n",
    ],
)
def test_a_page_that_is_wrong_is_found(tmp_path: Path, text: str):
    page = tmp_path / "page.md"
    page.write_text(text)
    with pytest.raises(AssertionError, match=r"page\.md, line 2"):
        run_page(page, tmp_path)


def test_output_may_be_left_out_where_dots_stand(tmp_path: Path):
    page = tmp_path / "page.md"
    page.write_text("```console\n$ seq 5\n1\n...\n5\n$ echo $?\n0\n```\n")
    assert run_page(page, tmp_path) == 1
