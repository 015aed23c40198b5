"""Servers are killed, the database restarts, connections break: nothing acknowledged is lost."""

import time
from collections.abc import Callable
from contextlib import ExitStack

import pytest
from chaos import Chaos, Stage
from workload import Workload

pytestmark = [pytest.mark.postgres, pytest.mark.slow]

SECONDS = 20
WRITERS = 64
QUOTA = 5000


def test_nothing_is_lost_doubled_or_out_of_order_whatever_breaks(
    record_testsuite_property: Callable[[str, object], None],
) -> None:
    with ExitStack() as stack:
        stage = Stage(stack, servers=3, writes_per_day=QUOTA)
        workload = Workload(stage.urls, writers=WRITERS, quota=QUOTA)
        chaos = Chaos(stage)
        workload.start()
        with chaos.going_on():
            time.sleep(SECONDS)
        workload.stop()
        assert not chaos.failed
        report = workload.check(stage.servers[0].memory("-", timeout=60))
    record_testsuite_property("faults", f"{report}; {', '.join(chaos.done)}")
    assert report.wrong == []
    assert report.calls > 200
    assert len(chaos.done) > 3
