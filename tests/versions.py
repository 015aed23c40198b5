"""Part of `make test-matrix`: the tests with the oldest versions that we promise, and the newest.

Each part of the product runs its tests twice, with what it builds on first at the lower end of the
bounds in its `pyproject.toml`, then as new as there is. All else stays as it is installed, or moves
as far as those versions need it.
"""

import os
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

from packaging.requirements import Requirement
from uv import find_uv_bin

ROOT = Path(__file__).parents[1]
PYTEST = ["python", "-m", "pytest", "-n", "logical", "--maxprocesses", "4", "--dist", "loadfile"]
# Versions of years ago use what has been deprecated since.
OLD = ["-W", "ignore::DeprecationWarning", "-W", "ignore::PendingDeprecationWarning"]


@dataclass(frozen=True)
class Part:
    """A package, what of its requirements is varied, and its tests.

    Attributes:
        beside: what only the tests need, and what has to fit the versions that are varied.
    """

    folder: str
    varied: list[str]
    tests: list[str] = field(default_factory=list[str])
    beside: list[str] = field(default_factory=list[str])


LANGCHAIN = ["langgraph", "langchain", "langchain-classic", "langchain-tests"]
SERVER = ["fastapi", "uvicorn", "httptools", "uvloop", "prometheus-client", "psycopg"]
OTEL = ["opentelemetry-sdk", "opentelemetry-exporter-otlp-proto-http"]  # FastAPI needs its API
SERVED = ["packages/botwire-core", "tests/test_running.py", "tests/test_server_input.py"]
PARTS = [
    Part("packages/botwire-langchain", ["langchain-core", "langgraph-checkpoint"], [], LANGCHAIN),
    Part("packages/botwire-crewai", ["crewai"]),
    Part("packages/botwire-haystack", ["haystack-ai"]),
    Part("packages/botwire-autogen", ["autogen-core", "autogen-agentchat", "ag2", "autogen"]),
    Part("server", SERVER, SERVED, OTEL),
]


def bounds(part: Part) -> list[str]:
    """The requirements that are varied, as `pyproject.toml` has them."""
    project = tomllib.loads((ROOT / part.folder / "pyproject.toml").read_text())["project"]
    extras = project.get("optional-dependencies", {}).values()
    listed = [*project["dependencies"], *(text for extra in extras for text in extra)]
    found = [text for text in listed if Requirement(text).name in part.varied]
    assert len(found) == len(part.varied), f"{part.folder} does not name all of {part.varied}"
    return found


def resolved(requirements: list[str], *options: str) -> str:
    """Versions of these and of all that they need, as a requirements file."""
    command = [find_uv_bin(), "pip", "compile", "-", "--quiet", "--no-header", "--no-annotate"]
    command += ["--python", sys.executable, *options]
    given = "\n".join(requirements)
    done = subprocess.run(command, input=given, check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout


def pins(part: Part, *options: str) -> list[str]:
    """What is varied at exactly one version each."""
    lines = resolved(bounds(part), *options).splitlines()
    return [line for line in lines if Requirement(line).name in part.varied]


def run(part: Part, versions: list[str], *options: str) -> None:
    """Run the tests with these versions.

    Raises:
        subprocess.CalledProcessError: one failed.
    """
    print(f"\n{part.folder}: {', '.join(versions)}", flush=True)
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write(resolved([*versions, *part.beside]))
        file.flush()
        uv = [find_uv_bin(), "run", "--quiet", "--no-project", "--with-requirements", file.name]
        command = [*uv, *PYTEST, *options, part.folder, *part.tests]
        environment = {**os.environ, "VIRTUAL_ENV": sys.prefix}
        subprocess.run(command, cwd=ROOT, env=environment, check=True)


if __name__ == "__main__":
    chosen = sys.argv[1:]  # folders; all without any
    for part in PARTS:
        if not chosen or part.folder in chosen:
            run(part, pins(part, "--resolution", "lowest-direct"), *OLD)
            run(part, pins(part))
