"""The pages leave nothing out, name nothing that is not there, and their links lead somewhere."""

import argparse
import dataclasses
import re
import shlex
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from botwire import AsyncMemory, Memory, cli
from botwire.commands import EXIT_CODES
from botwire.errors import BotWireError
from botwire.operations import OPERATIONS
from botwire_server import __main__ as server
from botwire_server.app import create_app
from botwire_server.metrics import Metrics
from botwire_server.settings import FREE_TIER, Settings

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "examples/**/*.md", "packages/*/*.md", "server/*.md")
    for path in ROOT.glob(pattern)
)
CODE = [*ROOT.glob("packages/*/src/**/*.py"), *ROOT.glob("server/src/**/*.py")]


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def table(name: str, first: str) -> dict[str, list[str]]:
    """The rows of the table whose first column has that heading: first cell -> all cells."""
    found = re.search(rf"^\| {first} \|.*\n\|[-|]+\n((?:\|.*\n)+)", text_of(name), re.MULTILINE)
    assert found, f"{name} has no table of {first}"
    rows = [[cell.strip() for cell in row[1:-1].split("|")] for row in found[1].splitlines()]
    return {row[0].strip("`"): row for row in rows}


def named(cell: str) -> list[str]:
    """What stands in backquotes."""
    return re.findall(r"`([^`]+)`", cell)


# -- links ---------------------------------------------------------------------------------------


def _links(page: Path) -> Iterator[str]:
    prose = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.M)
    yield from re.findall(r"\[[^\]]*\]\(([^)\s]+)\)", prose)


def _anchors(page: Path) -> set[str]:
    """The fragments of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path):
    for link in _links(page):
        if re.match(r"[a-z]+:", link):
            continue  # the world outside, which tests do not call
        path, _, fragment = link.partition("#")
        target = (page.parent / unquote(path)).resolve() if path else page
        assert target.exists(), f"{page.name} links to {link}"
        assert not fragment or fragment in _anchors(target), f"{page.name} links to {link}"


def test_the_index_names_every_page():
    linked = {link.partition("#")[0] for link in _links(ROOT / "docs/README.md")}
    pages = {path.name for path in ROOT.glob("docs/*.md")} - {"README.md"}
    assert pages <= linked


def test_the_index_of_decisions_names_each():
    linked = list(_links(ROOT / "docs/decisions/README.md"))
    decisions = {path.name for path in ROOT.glob("docs/decisions/*.md")} - {"README.md"}
    assert sorted(linked) == sorted(decisions)
    numbered = [name for name in linked if name[0].isdigit()]
    assert numbered == sorted(numbered)


def test_every_decision_says_context_choice_and_price():
    for path in ROOT.glob("docs/decisions/[0-9]*.md"):
        text = path.read_text(encoding="utf-8")
        assert re.findall(r"^## (.*)$", text, re.MULTILINE) == ["Context", "Choice", "Price"], path
        assert len(text.split()) <= 400, f"{path.name} is longer than half a page"


def test_the_readme_names_every_package():
    installed = {row[0] for row in table("README.md", "install").values()}
    project = tomllib.loads(text_of("packages/botwire/pyproject.toml"))["project"]
    extras = project["optional-dependencies"].keys() - {"all"}
    assert installed == {
        "`pip install botwire`",
        *(f'`pip install "botwire[{extra}]"`' for extra in extras),
    }


def test_each_package_has_a_readme_that_says_how_to_install_it():
    for path in ROOT.glob("packages/botwire-*"):
        extra = path.name.removeprefix("botwire-")
        wanted = "pip install botwire" if extra == "core" else f'pip install "botwire[{extra}]"'
        assert wanted in (path / "README.md").read_text(encoding="utf-8"), path.name


# -- the library -----------------------------------------------------------------------------------


def test_the_guide_names_every_method():
    guide = text_of("docs/guide.md")
    methods = {name for name in dir(Memory) if not name.startswith("_")}
    methods |= {name for name in dir(AsyncMemory) if not name.startswith("_")}
    assert [name for name in sorted(methods) if not re.search(rf"\b{name}\b\(?", guide)] == []


def _variables(texts: Iterable[str]) -> set[str]:
    return {
        name
        for text in texts
        for name in re.findall(r"\bBOTWIRE_[A-Z_]*[A-Z]\b", text)
        if name != "BOTWIRE_SERVE_NAME"  # stands for all of them
    }


def test_every_environment_variable_is_documented_and_every_documented_one_exists():
    used = _variables(path.read_text(encoding="utf-8") for path in CODE)
    used |= {f"BOTWIRE_SERVE_{field.name.upper()}" for field in dataclasses.fields(Settings)}
    assert _variables(page.read_text(encoding="utf-8") for page in PAGES) == used


# -- HTTP ------------------------------------------------------------------------------------------


def test_every_operation_is_documented_with_all_its_fields():
    rows = table("docs/http.md", "operation")
    assert list(rows) == list(OPERATIONS)
    for name, operation in OPERATIONS.items():
        fields = dataclasses.fields(operation)[1:]
        assert named(rows[name][1]) == [field.name for field in fields], name
        optional = re.search(r"\((.*)\)", rows[name][1])
        given = named(optional[1]) if optional else []
        # The property `keys` of the base class looks like a default of the field.
        assert given == [
            field.name
            for field in fields
            if field.default is not dataclasses.MISSING and not isinstance(field.default, property)
        ], name


def _errors(kind: type[BotWireError] = BotWireError) -> Iterator[type[BotWireError]]:
    if kind.__module__.startswith("botwire"):
        yield kind
    for narrower in kind.__subclasses__():
        yield from _errors(narrower)


def test_every_error_is_documented_with_its_status_and_class():
    rows = table("docs/http.md", "code")
    # Adapters have errors of their own; they are here when their tests ran in this process.
    errors = [
        kind for kind in _errors() if kind.__module__.startswith(("botwire.", "botwire_server"))
    ]
    assert rows.keys() == {kind.code for kind in errors}
    for kind in errors:
        _, status, name, _ = rows[kind.code]
        assert status in ("", str(kind.status)), kind.code
        assert name in ("", f"`{kind.__name__}`"), kind.code
        assert bool(name) == (kind.__module__ == "botwire.errors"), kind.code


def test_every_path_is_documented():
    app: Any = create_app(Settings(url="memory://"))._app
    page = text_of("docs/http.md")
    for path in app.openapi()["paths"]:
        assert f"{path}`" in page.replace("{operation}", path.rpartition("/")[2]), path


# -- the server ------------------------------------------------------------------------------------


def test_every_option_of_the_server_is_documented_with_its_default():
    rows = table("docs/server.md", "option")
    names = {f.name: f"--{f.name.replace('_', '-')}" for f in dataclasses.fields(Settings)}
    assert rows.keys() == set(names.values())
    for field in dataclasses.fields(Settings):
        _, variable, default, _ = rows[names[field.name]]
        assert variable == f"`BOTWIRE_SERVE_{field.name.upper()}`"
        value = int(field.default) if isinstance(field.default, bool) else field.default
        assert default == ("none" if value is None else f"`{value}`"), field.name


def test_the_free_tier_is_documented_as_it_is():
    assert FREE_TIER == {"writes_per_day": 1_000, "namespace_bytes": 50_000_000}
    assert "1,000 writes a day and 50 MB" in text_of("docs/server.md")


def test_every_metric_is_documented():
    metrics = Metrics()
    metrics.count("get", 200, 0.001)
    page = metrics.page().decode()
    families = set(re.findall(r"^# TYPE (\S+)", page, re.MULTILINE))
    assert table("docs/server.md", "metric").keys() == families


def test_every_action_and_option_of_the_server_command_is_documented():
    page = text_of("docs/server.md")
    (action,) = [a for a in server._parser()._actions if not a.option_strings]
    assert [name for name in action.choices or () if name != "serve"] == ["migrate"]
    assert "`botwire-server`" in page
    migrations = page.partition("## Migrations")[2].partition("## ")[0]
    assert [flag for flag in _flags(server._parser()) if flag not in migrations] == ["--help"]


# -- the command line ------------------------------------------------------------------------------


def _commands(parser: argparse.ArgumentParser, name: str = "botwire") -> Iterator[tuple[str, Any]]:
    yield name, parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for verb, part in action.choices.items():
                yield from _commands(part, f"{name} {verb}")


COMMANDS = dict(_commands(cli._parser()))


def _flags(parser: argparse.ArgumentParser) -> set[str]:
    flags = {flag for action in parser._actions for flag in action.option_strings}
    return {flag for flag in flags if flag.startswith("--") and not flag.startswith("--no-")}


def test_every_command_is_documented():
    documented = {re.sub(r" [A-Z[].*", "", command) for command in table("docs/cli.md", "command")}
    assert documented == COMMANDS.keys() - {"botwire", "botwire keys"}


def test_every_flag_is_documented_and_every_documented_flag_exists():
    of_server = _flags(COMMANDS["botwire serve"])
    assert of_server - {"--json", "--help"} == table("docs/server.md", "option").keys()
    others = set().union(*(_flags(p) for n, p in COMMANDS.items() if n != "botwire serve"))
    documented = {name.split()[0].rstrip("`,") for name in table("docs/cli.md", "option")}
    assert documented == others


def test_every_exit_code_is_documented():
    documented = {int(code) for code in table("docs/cli.md", "code")}
    assert documented == {0, 1, 130} | {code for _, code in EXIT_CODES}


def _shown_commands() -> Iterator[tuple[str, str]]:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for block in re.findall(r"^```(?:sh|console|bash)\n(.*?)^```$", text, re.DOTALL | re.M):
            for line in re.findall(r"^(?:\$ )?(botwire(?:-server)? .*)$", block, re.MULTILINE):
                yield page.name, line
        for inline in re.findall(r"`(botwire(?:-server)? [a-z]+ [^`]*)`", text):
            yield page.name, inline


def test_every_command_that_is_shown_would_be_understood():
    shown = list(_shown_commands())
    assert len(shown) > 20
    assert [f"{page}: {line}" for page, line in shown if not _understood(line)] == []


def _understood(line: str) -> bool:
    command, *words = shlex.split(line.partition(" && ")[0], comments=True)
    parser = {"botwire": cli._parser, "botwire-server": server._parser}[command]()
    try:
        parser.parse_args(["x" if re.fullmatch(r"\[?[A-Z]+\]?", w) else w for w in words])
    except SystemExit as refused:
        return not refused.code  # --help and --version end with 0
    return True
