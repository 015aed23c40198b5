"""Servers are killed, the database restarts, connections break: nothing acknowledged is lost."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from chaos import Chaos, FileStage, Stage
from workload import Workload

pytestmark = pytest.mark.slow

WRITERS = 64
QUOTA = 5000

Record = Callable[[str, object], None]


def _run(stage: Any, seconds: float, record: Record, *certain: str) -> None:
    workload = Workload(stage.urls, writers=WRITERS, quota=QUOTA)
    chaos = Chaos(stage)
    workload.start()
    with chaos.going_on():
        time.sleep(seconds)
    workload.stop()
    report = workload.check(stage.servers[0].memory("-", timeout=60))
    record("faults", f"{report}; after: {', '.join(chaos.done)}")
    assert not chaos.failed
    assert report.wrong == []
    assert report.calls > 200
    assert len(chaos.done) > 3
    assert set(certain) <= set(chaos.done)


@pytest.mark.postgres
@pytest.mark.parametrize("servers", [3, 1])  # one alone knows what it wrote and does not read it
def test_nothing_is_lost_on_postgresql_whatever_breaks(
    servers: int, record_testsuite_property: Record
) -> None:
    with ExitStack() as stack:
        stage = Stage(stack, servers=servers, writes_per_day=QUOTA)
        restarts = "restart the database", "kill a server"
        _run(stage, 20, record_testsuite_property, *restarts)


def test_nothing_is_lost_on_a_file_whose_server_is_killed(
    tmp_path: Path, record_testsuite_property: Record
) -> None:
    with ExitStack() as stack:
        stage = FileStage(stack, tmp_path, writes_per_day=QUOTA)
        _run(stage, 10, record_testsuite_property)
