"""What people install: wheels, built as a release builds them, each from its source archive."""

import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import PathDistribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from uv import find_uv_bin

ROOT = Path(__file__).parents[1]
MEMBERS = {
    tomllib.loads(path.read_text())["project"]["name"]: path.parent
    for path in [*ROOT.glob("packages/*/pyproject.toml"), ROOT / "server/pyproject.toml"]
}
WITH_CODE = sorted(MEMBERS.keys() - {"botwire"})
SMOKE = "import botwire, botwire_server; print(botwire.__file__)"


def run(*command: str | Path, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def uv(*arguments: str | Path) -> None:
    """Run uv, from its cache alone if that is enough."""
    command = [find_uv_bin(), *arguments]
    if run(*command, "--offline").returncode != 0:
        done = run(*command)
        assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Distribution name -> wheel."""
    out = tmp_path_factory.mktemp("dist")
    uv("build", "--all-packages", "--out-dir", out)
    return {path.name.split("-")[0].replace("_", "-"): path for path in out.glob("*.whl")}


def distribution(wheel: Path) -> PathDistribution:
    name, version, *_ = wheel.name.split("-")
    return PathDistribution(zipfile.Path(wheel, f"{name}-{version}.dist-info/"))


def requirements(wheel: Path, extra: str = "") -> list[Requirement]:
    """What a plain install brings, or what an extra adds to it."""
    found = [Requirement(text) for text in distribution(wheel).requires or []]
    return [
        requirement
        for requirement in found
        if ("extra ==" in str(requirement.marker)) == bool(extra)
        and (requirement.marker is None or requirement.marker.evaluate({"extra": extra}))
    ]


def contents(wheel: Path) -> list[str]:
    """The files of a wheel, metadata left out."""
    names = zipfile.ZipFile(wheel).namelist()
    return [name for name in names if ".dist-info/" not in name]


def test_every_member_builds_a_wheel(wheels: dict[str, Path]):
    assert wheels.keys() == MEMBERS.keys()


def test_all_versions_move_together(wheels: dict[str, Path]):
    assert len({distribution(wheel).version for wheel in wheels.values()}) == 1


def test_every_wheel_says_which_pythons_and_licence(wheels: dict[str, Path]):
    for wheel in wheels.values():
        metadata = distribution(wheel).metadata
        assert metadata["Requires-Python"] == ">=3.11"
        assert metadata["License-Expression"] == "MIT"
        assert distribution(wheel).read_text("licenses/LICENSE") == (ROOT / "LICENSE").read_text()


def test_wheels_bound_the_versions_of_each_other(wheels: dict[str, Path]):
    major, minor, _ = distribution(wheels["botwire"]).version.split(".")
    for wheel in wheels.values():
        for text in distribution(wheel).requires or []:
            requirement = Requirement(text)
            if requirement.name in MEMBERS and requirement.name != "botwire":
                assert str(requirement.specifier) == f"~={major}.{minor}.0", f"{wheel.name}: {text}"


def test_wheels_bound_the_versions_of_everybody_else(wheels: dict[str, Path]):
    for name, wheel in wheels.items():
        for requirement in requirements(wheel):
            operators = {bound.operator for bound in requirement.specifier}
            assert operators & {"<", "~="}, f"{name}: {requirement}"


def test_core_needs_httpx_and_nothing_else(wheels: dict[str, Path]):
    assert [needed.name for needed in requirements(wheels["botwire-core"])] == ["httpx"]


def test_each_extra_of_botwire_brings_the_member_of_that_name(wheels: dict[str, Path]):
    extras = set(distribution(wheels["botwire"]).metadata.get_all("Provides-Extra") or [])
    members = {name.removeprefix("botwire-") for name in WITH_CODE} - {"core"}
    assert extras == members | {"all", "otel"}  # otel is an extra of botwire-core
    for extra in members:
        brought = requirements(wheels["botwire"], extra)
        assert [needed.name for needed in brought] == [f"botwire-{extra}"]
    brought = requirements(wheels["botwire"], "all")
    assert {needed.name for needed in brought} == {f"botwire-{extra}" for extra in members}


def test_botwire_itself_holds_no_code_and_brings_the_library(wheels: dict[str, Path]):
    assert contents(wheels["botwire"]) == []
    assert [needed.name for needed in requirements(wheels["botwire"])] == ["botwire-core"]


@pytest.mark.parametrize("name", WITH_CODE)
def test_type_checkers_can_read_the_wheel(wheels: dict[str, Path], name: str):
    module = {"botwire-core": "botwire"}.get(name, name.replace("-", "_"))
    assert f"{module}/py.typed" in contents(wheels[name])


@pytest.mark.parametrize("name", WITH_CODE)
def test_the_wheel_holds_the_sources_and_nothing_else(wheels: dict[str, Path], name: str):
    sources = MEMBERS[name] / "src"
    expected = {
        path.relative_to(sources).as_posix()
        for path in sources.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert set(contents(wheels[name])) == expected
    assert not [path for path in expected if re.search(r"(^|/)(tests?/|test_|conftest)", path)]


def test_only_haystack_shares_a_module_with_others(wheels: dict[str, Path]):
    owners: dict[str, set[str]] = {}
    for name, wheel in wheels.items():
        for path in contents(wheel):
            owners.setdefault(path.split("/")[0], set()).add(name)
    assert [module for module, names in owners.items() if len(names) > 1] == []
    # Other people's distributions live in haystack_integrations too, so nobody may own its top.
    assert "haystack_integrations/__init__.py" not in contents(wheels["botwire-haystack"])


@pytest.mark.slow
def test_library_and_server_import_in_a_fresh_environment(wheels: dict[str, Path], tmp_path: Path):
    python = tmp_path / "bin/python"
    uv("venv", "--python", sys.executable, tmp_path)
    # Ours by file: by name, the index would be asked too. The rest pinned: the cache will do.
    chosen = [wheels[name] for name in ("botwire", "botwire-core", "botwire-server")]
    pins = ROOT / "requirements/base.txt"
    uv("pip", "install", "--python", python, "--constraints", pins, *chosen)
    uv("pip", "check", "--python", python)
    # -I: neither this folder nor PYTHONPATH may stand in for what is installed.
    done = run(python, "-I", "-W", "error", "-c", SMOKE, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert str(tmp_path) in done.stdout
