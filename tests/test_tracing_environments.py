"""The tracing packages in environments of their own: versions that cannot be installed together.

Langfuse 4.16 and later need OpenTelemetry 1.45, with which AgentOps 0.4.21 cannot export unless it
is repaired (C); Langfuse 3 has another API; and core works with no OpenTelemetry at all. The
environment that all other tests run in is B; `make test` adds A and F, and `make test-matrix` all
(BOTWIRE_TRACING names them).
"""

import os
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import pytest
from uv import find_uv_bin

ROOT = Path(__file__).parents[1]

TESTS = ["pytest>=9", "pytest-asyncio", "pytest-randomly", "pytest-timeout", "hypothesis", "httpx"]
SERVER = ["fastapi", "uvicorn", "httptools", "prometheus-client", "uvloop; sys_platform != 'win32'"]
CORE = "packages/botwire-core/tests/test_telemetry"


@dataclass(frozen=True)
class Environment:
    """What is installed, and whose tests run with it."""

    installed: list[str]
    packages: list[str]
    tests: list[str]


def langfuse(*installed: str) -> Environment:
    tests = [f"packages/botwire-langfuse/tests/test_{name}.py" for name in LANGFUSE]
    return Environment([*installed, *SERVER], ["botwire-langfuse"], tests)


LANGFUSE = ("observations", "native", "traced_memory", "process")
ENVIRONMENTS = {
    "A": langfuse("langfuse==5.0.4", "opentelemetry-sdk==1.45.2"),
    "B": Environment(
        ["langfuse==4.15.6", "agentops==0.4.21", "opentelemetry-sdk==1.44.0", *SERVER],
        ["botwire-langfuse", "botwire-agentops"],
        [
            *(f"packages/botwire-langfuse/tests/test_{name}.py" for name in LANGFUSE),
            "packages/botwire-agentops/tests/test_agentops.py",
            f"{CORE}_spans.py",
            f"{CORE}_values.py",
        ],
    ),
    "C": Environment(
        ["agentops==0.4.21", "opentelemetry-sdk==1.45.2", "langfuse==5.0.4"],
        ["botwire-agentops", "botwire-langfuse"],
        [
            "packages/botwire-agentops/tests/test_agentops.py",
            "packages/botwire-agentops/tests/test_shape.py",
            "packages/botwire-agentops/tests/test_recorded.py",
        ],
    ),
    "D": langfuse("langfuse==3.15.0"),
    "D-oldest": langfuse("langfuse==3.9.0"),
    "E": Environment(
        ["humanloop==0.8.38", "requests", *SERVER],
        ["botwire-humanloop"],
        [f"packages/botwire-humanloop/tests/test_{name}.py" for name in ("logs", "iterate")],
    ),
    "F": Environment(
        [], [], [f"{CORE}{part}.py" for part in ("", "_content", "_functions", "_funnel")]
    ),
}
# It ends at once: at a regular end Langfuse 3 waits seconds for each client that the tests made.
PYTEST = """
import os, pytest, sys
status = pytest.main(sys.argv[1:])
sys.stdout.flush()
os._exit(status)
"""
CHOSEN = os.environ.get("BOTWIRE_TRACING", "A F").split()


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", CHOSEN)
def test_the_tests_pass_in_the_environment(name: str, tmp_path: Path) -> None:
    environment = ENVIRONMENTS[name]
    python = make(tmp_path / "venv", [*TESTS, *environment.installed])
    sources = [ROOT / "packages" / package / "src" for package in environment.packages]
    sources += [ROOT / "packages/botwire-core/src", ROOT / "server/src"]
    done = subprocess.run(
        [python, "-c", PYTEST, "-q", "-p", "no:cacheprovider", *environment.tests],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, sources))},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout


def make(folder: Path, requirements: list[str]) -> str:
    """The Python of a new environment; packages come from uv's cache if they are all there."""
    uv = find_uv_bin()
    made = run(uv, "venv", "--quiet", "--python", sys.executable, folder)
    assert made.returncode == 0, made.stderr
    python = str(folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python"))
    install = (uv, "pip", "install", "--quiet", "--python", python, *requirements)
    if run(*install, "--offline").returncode != 0:
        fetched = run(*install)
        if fetched.returncode != 0:
            pytest.fail(
                "no test ran: the packages of this environment are not all in uv's cache, and the"
                f" index did not give them. Is it reachable?\n{fetched.stderr}",
                pytrace=False,
            )
    return python


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True)


def test_an_index_that_cannot_be_reached_is_told_from_a_test_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith(("UV_", "PIP_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("UV_NO_CONFIG", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    with pytest.raises(pytest.fail.Exception, match="the index did not give them") as failure:
        make(tmp_path / "venv", ["langfuse==5.0.4"])
    assert "127.0.0.1:9" in str(failure.value)


def test_the_environment_of_all_other_tests_is_b() -> None:
    assert version("langfuse").startswith("4.15.")
    assert version("agentops") == "0.4.21"
    assert version("opentelemetry-sdk").startswith("1.44.")
