"""What stands in `deploy/` works with the product as it is, and upgrades cost nobody an answer.

Docker may not be here, so `dockerfile.py` carries the Dockerfile out in a folder: the wheels are
built from what is copied, installed, and the server that CMD names is started and checked.
"""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from dockerfile import Container, Image, read_dockerfile
from writing import Writing

from botwire import Memory
from botwire.testing import PostgresServer, ServerProcess
from botwire.testing.balancer import Balancer
from botwire_server.postgres.migrate import migrations
from botwire_server.settings import Settings

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
OPTIONS = {f"BOTWIRE_SERVE_{field.name.upper()}" for field in fields(Settings)}
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
SERVERS = [name for name in SERVICES if name.startswith("server")]
UNIT = (DEPLOY / "botwire.service").read_text()


def seconds(text: str) -> int:
    return int(text.removesuffix("s"))


# -- the image ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    return Image(DEPLOY / "Dockerfile", ROOT, tmp_path_factory.mktemp("image"))


@pytest.fixture
def key(image: Image) -> Iterator[str]:
    """A key in the volume of the image, made as the page says."""
    made = image.execute(["botwire", "keys", "create"])
    assert made.returncode == 0, made.stderr
    yield made.stdout.strip()
    shutil.rmtree(image.here("/data"))
    Path(image.here("/data")).mkdir()


def test_the_image_is_built_from_this_checkout_alone(image: Image):
    listed = image.execute(["python", "-m", "botwire.cli", "--version"])
    assert listed.stdout.strip() == version("botwire-core")
    names = json.loads(image.run(["uv", "pip", "list", "--format=json", "--python", python(image)]))
    installed = {row["name"]: row["version"] for row in names}
    pinned = dict(re.findall(r"^([\w.-]+)==([^\s;]+)", text_of("requirements/dev.txt"), re.M))
    ours = {name for name in installed if name.startswith("botwire")}
    assert ours == {"botwire-core", "botwire-server"}
    assert {name: installed[name] for name in installed.keys() - ours} == {
        name: pinned[name] for name in installed.keys() - ours
    }


def python(image: Image) -> str:
    return image.here("/opt/botwire/bin/python")


def text_of(name: str) -> str:
    return (ROOT / name).read_text()


def test_what_the_image_builds_with_is_what_the_tests_build_with(image: Image):
    assert image.tools == [f"uv=={version('uv')}"]


def test_the_image_can_use_postgresql_and_send_traces(image: Image):
    code = "import psycopg, opentelemetry.exporter.otlp.proto.http; print(psycopg.pq.__impl__)"
    assert image.execute(["python", "-Ic", code]).stdout == "binary\n"


def test_the_image_does_not_run_as_root(image: Image):
    assert [number != "0" for number in image.user.split(":")] == [True, True]


def test_signals_reach_the_server_and_no_shell(image: Image):
    instructions = read_dockerfile(DEPLOY / "Dockerfile")
    assert ("STOPSIGNAL", "SIGTERM") in instructions
    assert image.command[0] not in ("sh", "bash")
    assert "ENTRYPOINT" not in dict(instructions)


def test_all_stages_are_of_one_python(image: Image):
    instructions = read_dockerfile(DEPLOY / "Dockerfile")
    bases = [rest.split()[0] for name, rest in instructions if name == "FROM"]
    assert len(bases) == 2
    assert set(bases) == {"python:3.13-slim"}


def test_a_container_without_a_key_refuses_to_start(image: Image):
    done = image.execute(image.command)
    assert done.returncode == 2
    assert "there are no API keys" in done.stderr
    assert "botwire keys create" in done.stderr


def test_a_container_remembers_in_its_volume(image: Image, key: str):
    for turn in (1, 2):
        with Container(image) as container:
            assert container.is_healthy(image.health)
            with Memory("test", url=container.url, api_key=key) as memory:
                assert memory.increment("turns") == turn
            assert container.stop() == 0
        assert not container.is_healthy(image.health)
    assert {path.name for path in Path(image.here("/data")).iterdir()} == {
        ".keys.json.lock",
        "keys.json",
        "memory.db",
    }


def test_a_container_listens_to_everybody_who_has_a_key(image: Image, key: str):
    assert image.environment["BOTWIRE_SERVE_HOST"] == "0.0.0.0"
    settings = Settings(host="0.0.0.0", api_keys=Path("keys.json"))
    assert not settings.open
    exposed = dict(read_dockerfile(DEPLOY / "Dockerfile"))["EXPOSE"]
    assert exposed == image.environment["BOTWIRE_SERVE_PORT"]


# -- compose -----------------------------------------------------------------------------------


def test_compose_names_only_options_that_the_server_has(image: Image):
    for name in ["migrate", *SERVERS]:
        given = {key for key in SERVICES[name]["environment"] if key.startswith("BOTWIRE_")}
        assert given <= OPTIONS
    assert {key for key in image.environment if key.startswith("BOTWIRE_")} <= OPTIONS


def test_compose_has_no_password_that_could_go_unnoticed():
    required = r"\$\{POSTGRES_PASSWORD:\?[^}]+\}"
    given = [
        value
        for service in SERVICES.values()
        for name, value in service["environment"].items()
        if "PASSWORD" in name
    ]
    assert len(given) == 2 + len(SERVERS)
    assert all(re.fullmatch(required, value) for value in given)
    url = SERVICES["server-1"]["environment"]["BOTWIRE_SERVE_URL"]
    assert re.fullmatch(r"postgresql://\w+@postgres/\w+", url)


def test_compose_publishes_nothing_beyond_this_machine():
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert len(ports) == len(SERVERS)
    assert all(port.startswith("127.0.0.1:") for port in ports)
    assert {port.rpartition(":")[2] for port in ports} == {"8000"}


def test_compose_starts_the_database_then_migrates_then_serves():
    assert SERVICES["migrate"]["depends_on"]["postgres"]["condition"] == "service_healthy"
    assert "healthcheck" in SERVICES["postgres"]
    for name in SERVERS:
        wanted = {"migrate": {"condition": "service_completed_successfully"}}
        assert SERVICES[name]["depends_on"] == wanted
    assert SERVICES["migrate"]["restart"] == "no"


def test_compose_declares_every_volume_it_uses():
    used = {
        volume.partition(":")[0]
        for service in SERVICES.values()
        for volume in service.get("volumes", [])
    }
    assert used == COMPOSE["volumes"].keys()


def test_compose_builds_the_dockerfile_that_is_there():
    for name in ["migrate", *SERVERS]:
        build = SERVICES[name]["build"]
        assert (DEPLOY / build["context"] / build["dockerfile"]).resolve() == DEPLOY / "Dockerfile"


def test_compose_leaves_time_for_a_graceful_stop():
    for name in SERVERS:
        assert seconds(SERVICES[name]["stop_grace_period"]) > Settings().shutdown_seconds + 20


@pytest.mark.postgres
def test_the_services_of_compose_work_together(
    image: Image, key: str, botwire_postgres: PostgresServer
):
    """Their commands, with their environment, on a real database."""
    database = {"BOTWIRE_SERVE_URL": botwire_postgres.database()}
    migrated = image.execute(SERVICES["migrate"]["command"], database)
    assert migrated.returncode == 0, migrated.stderr
    assert migrated.stdout.splitlines() == [name for _, name, _ in migrations()]
    with ExitStack() as stack:
        servers = [stack.enter_context(Container(image, database)) for _ in SERVERS]
        for turn, server in enumerate(servers, 1):
            assert server.is_healthy(readiness(server.port))
            with Memory("test", url=server.url, api_key=key) as memory:
                assert memory.increment("turns") == turn


def readiness(port: str) -> list[str]:
    """The health check of compose's servers, as if a server listened on another port."""
    kind, *command = SERVICES["server-1"]["healthcheck"]["test"]
    assert kind == "CMD"
    return [part.replace("8000", port) for part in command]


@pytest.mark.usefixtures("key")
def test_a_server_whose_database_is_away_lives_but_is_not_ready(image: Image):
    nowhere = {"BOTWIRE_SERVE_URL": "postgresql://botwire@127.0.0.1:1/botwire"}
    with Container(image, nowhere) as server:
        assert server.is_healthy(image.health)
        assert not server.is_healthy(readiness(server.port))


# -- systemd -----------------------------------------------------------------------------------


def unit(name: str) -> list[str]:
    """All values of a setting."""
    return re.findall(rf"^{name}=(.*)$", UNIT, re.MULTILINE)


def test_the_unit_names_only_options_that_the_server_has():
    given = dict(line.split("=", 1) for line in unit("Environment"))
    assert given.keys() <= OPTIONS
    assert given["BOTWIRE_SERVE_URL"] == "sqlite:///%S/botwire/memory.db"
    assert "BOTWIRE_SERVE_API_KEYS" in given


def test_the_unit_waits_as_long_as_the_server_may_take_to_stop():
    assert int(unit("TimeoutStopSec")[0]) > Settings().shutdown_seconds + 20


def test_the_unit_starts_what_the_wheels_install(image: Image):
    command = unit("ExecStart")[0]
    assert Path(image.here(command)).exists()


def test_the_unit_does_not_repeat_a_start_that_cannot_succeed(image: Image):
    refused = image.execute(image.command)
    assert [str(refused.returncode)] == unit("RestartPreventExitStatus")


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not here")
def test_systemd_understands_the_unit_and_finds_it_tight(image: Image, tmp_path: Path):
    path = tmp_path / "botwire.service"
    path.write_text(image.here(UNIT))
    analyze = ["systemd-analyze", "--man=no"]
    done = subprocess.run([*analyze, "verify", path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", path],
        capture_output=True,
        text=True,
        check=False,
    )
    level = re.search(r"exposure level for \S+: ([\d.]+)", done.stdout)
    assert level, done.stderr
    assert float(level[1]) < 2


# -- upgrades ----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.postgres
def test_servers_on_one_database_are_replaced_one_by_one_and_nobody_notices(
    botwire_postgres: PostgresServer,
):
    database = botwire_postgres.database()
    with (
        ServerProcess(database) as one,
        ServerProcess(database) as two,
        Balancer([one.url, two.url]) as balancer,
        Writing(balancer.url) as writing,
    ):
        writing.go_on()
        # What the next version's migration may do: add, so that this version goes on working.
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute("ALTER TABLE botwire.entries ADD COLUMN more text")
            connection.execute("ALTER TABLE botwire.namespaces ADD COLUMN more text")
            connection.execute("INSERT INTO botwire.migrations VALUES (99, 'more')")
        writing.go_on()
        for server in (one, two):
            assert server.stop() == 0
            writing.go_on()
            server.start()
            writing.go_on()
    assert writing.slowest < 10, f"{writing.slowest:.1f} s for an append, an increment and a get"


@pytest.mark.slow
def test_a_server_on_a_file_is_restarted_and_nobody_gets_an_error(tmp_path: Path):
    file = tmp_path / "memory.db"
    with ServerProcess(f"sqlite:///{file}") as server, Writing(server.url) as writing:
        for _ in range(2):
            writing.go_on()
            assert server.stop() == 0
            assert not file.with_name("memory.db-wal").exists()
            server.start()
        writing.go_on()
