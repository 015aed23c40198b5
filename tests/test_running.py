"""docs/running.md: what it shows works, and what it names is there."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
import yaml
from writing import Writing

from botwire import Memory, cli
from botwire.testing import PostgresServer, ServerProcess
from botwire_server.metrics import Metrics
from botwire_server.postgres.migrate import migrate_database
from botwire_server.postgres.store import CONNECTIONS
from botwire_server.protocol import HEAD_SECONDS
from botwire_server.requests import BODY_SECONDS
from botwire_server.serve import KEEP_ALIVE
from botwire_server.settings import Settings

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/running.md").read_text()
COMPOSE = (ROOT / "deploy/compose.yaml").read_text()
SERVICES: dict[str, Any] = yaml.safe_load(COMPOSE)["services"]


def blocks(language: str) -> list[str]:
    """The blocks of docs/running.md in that language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


@pytest.fixture
def databases(botwire_postgres: PostgresServer) -> Iterator[dict[str, str]]:
    """The variables that the page uses, and PostgreSQL's programs of the server's version."""
    database = botwire_postgres.database()
    programs = getattr(botwire_postgres, "bin", None)
    places = [*([str(programs)] if programs else []), str(Path(sys.executable).parent)]
    path = os.pathsep.join([*places, os.environ["PATH"]])
    yield {"DATABASE": database, "RESTORED": botwire_postgres.url("restored"), "PATH": path}
    with psycopg.connect(botwire_postgres.url("postgres"), autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS restored WITH (FORCE)")


@pytest.mark.postgres
def test_moving_backing_up_and_restoring_work_as_the_page_shows(
    databases: dict[str, str], tmp_path: Path
):
    """Its blocks with $DATABASE: moved in two steps, dumped while agents write, restored."""
    dump, restore, most, rest = (block for block in blocks("sh") if "$DATABASE" in block)

    def run(script: str) -> str:
        done = subprocess.run(
            ["bash", "-euc", f"exec 2>&1\n{script}"],
            cwd=tmp_path,
            env={**os.environ, **databases},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{script}{done.stdout}"
        return done.stdout

    with Memory("agent-1", url=f"sqlite:///{tmp_path / 'memory.db'}") as memory:
        memory.set_many({f"key {number}": {"n": number} for number in range(1200)})
        memory.set("passes", 1, ttl=3600)
        assert "1,200 entries" in run(most)
        memory.set("key 7", "written meanwhile")
        memory.delete("key 8")
        assert "1 written, 1 removed" in run(rest)
        version = memory.usage().version
    with ServerProcess(databases["DATABASE"]) as server, Writing(server.url) as writing:
        writing.go_on()
        run(dump)
        writing.go_on()
    assert f"version       {version}" in run(restore)
    restored = databases["RESTORED"]
    with Memory("agent-1", url=restored) as memory, ServerProcess(restored) as server:
        assert memory.get("key 7") == "written meanwhile"
        assert server.memory("agent-1").set("key 10", 0) == version + 1
        writer = server.memory("agent 0")
        turns = writer.get("turns")
        assert writer.get("log") in (list(range(1, turns + 1)), list(range(1, turns + 2)))


@pytest.mark.postgres
def test_a_user_who_may_not_change_the_schema_serves_what_another_migrated(
    botwire_postgres: PostgresServer,
):
    (grants,) = blocks("sql")
    database = botwire_postgres.database()
    role = f"servers_{uuid4().hex}"
    url = re.sub("//([^@/]*@)?", f"//{role}:secret@", database, count=1)
    migrate_database(database)
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'secret'".encode())
        connection.execute(grants.replace("TO servers;", f"TO {role};").encode())
        try:
            with ServerProcess(url) as server, Writing(server.url) as some:
                some.go_on()
                memory = server.memory("agent-1")
                memory.set("soon gone", 1, ttl=0.01)
                memory.clear()
        finally:
            connection.execute(f"DROP OWNED BY {role}".encode())
            connection.execute(f"DROP ROLE {role}".encode())


def test_every_shell_block_of_the_page_is_well_formed():
    for block in blocks("sh"):
        done = subprocess.run(["bash", "-nc", block], capture_output=True, text=True, check=False)
        assert done.stderr == ""


def test_the_compose_and_docker_commands_of_the_page_name_what_is_there():
    text = "".join(blocks("sh")) + COMPOSE
    for line in re.findall(r"docker compose (.*)", text):
        assert line.startswith("-f deploy/compose.yaml ")
        for name in re.findall(r"(?:server-\d|migrate)\b", line):
            assert name in SERVICES
    assert "docker build -f deploy/Dockerfile -t botwire-server ." in text
    images = {service["image"] for service in SERVICES.values()}
    assert images == {"botwire-server", "postgres:17"}


def test_the_proxy_of_the_page_lets_through_what_the_server_takes():
    (nginx,) = blocks("nginx")
    (caddy,) = blocks("caddy")
    megabytes = re.search(r"client_max_body_size (\d+)m;", nginx)
    assert megabytes
    assert int(megabytes[1]) * 2**20 >= Settings().request_bytes
    assert "max_size 32MB" in caddy
    assert Settings().request_bytes == 32_000_000
    assert "proxy_pass http://botwire;" in nginx
    idle = re.search(r"keepalive (\d+)s", caddy)
    assert idle
    assert int(idle[1]) < KEEP_ALIVE
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    ports = {port.split(":")[1] for port in published}
    for snippet in (nginx, caddy):
        assert set(re.findall(r"127\.0\.0\.1:(\d+)", snippet)) == ports


def test_the_alerts_of_the_page_are_about_metrics_that_exist():
    scrape, rules = map(yaml.safe_load, blocks("yaml"))
    (job,) = scrape["scrape_configs"]
    metrics = Metrics()
    metrics.count("get", 200, 0.001)
    metrics.commit(1)
    families = set(re.findall(r"^(\w+?)(?:\{| )", metrics.page().decode(), re.MULTILINE))
    (group,) = rules["groups"]
    for rule in group["rules"]:
        used = set(re.findall(r"\b(?:botwire_\w+|up)\b", rule["expr"]))
        assert used
        assert used <= families | {"up"}
    assert job["job_name"] in group["rules"][0]["expr"]


def test_the_page_names_the_limits_that_hold():
    assert f"kept for {KEEP_ALIVE} seconds" in PAGE
    assert f"head may take {HEAD_SECONDS:.0f} seconds, its body {BODY_SECONDS:.0f}" in PAGE
    assert f"up to {CONNECTIONS} for each server" in PAGE
    assert f"`timeout` ({cli._parser().parse_args(['get', 'x']).timeout:.0f} seconds)" in PAGE
