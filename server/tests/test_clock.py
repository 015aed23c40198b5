"""The time between two looks at the database's clock: near to it, and never running backwards."""

import pytest

from botwire_server.postgres import clock
from botwire_server.postgres.clock import ClockSetBack, DatabaseTime


class Machine:
    """This machine's monotonic clock, set by hand."""

    def __init__(self) -> None:
        self.now = 50.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine()
    monkeypatch.setattr(clock, "time", machine)
    return machine


def test_before_it_was_read_nobody_knows_the_time(machine: Machine) -> None:
    assert DatabaseTime().estimate() is None


def test_it_goes_on_from_what_was_read_and_is_not_trusted_for_ever(machine: Machine) -> None:
    time = DatabaseTime()
    assert time.see(1000.0) == 1000.0
    machine.now += 2
    assert time.estimate() == 1002.0
    machine.now += clock.FRESH
    assert time.estimate() is None


def test_a_moment_that_came_in_late_does_not_set_it_back(machine: Machine) -> None:
    time = DatabaseTime()
    time.see(1000.0)
    machine.now += 1
    time.see(1000.6)  # on its way, or waiting for the event loop, for 0.4 seconds
    assert time.estimate() == 1001.0
    machine.now += 1
    time.see(1002.1)
    assert time.estimate() == 1002.1


@pytest.mark.parametrize("jump", [-30.0, -0.6, 0.2, 30.0])
def test_it_follows_a_clock_that_was_changed(machine: Machine, jump: float) -> None:
    time = DatabaseTime()
    time.see(1000.0)
    machine.now += 40
    time.see(1040.0 + jump)
    assert time.estimate() == 1040.0 + jump


def test_it_is_never_before_a_moment_that_was_seen(machine: Machine) -> None:
    time = DatabaseTime()
    time.see(1000.0)
    time.see(990.0)
    assert time.estimate() == time.floor == 1000.0
    with pytest.raises(ClockSetBack):
        time.see(999.0, time.floor)


def test_a_clock_that_is_given_is_the_time() -> None:
    time = DatabaseTime(lambda: 7.0)
    assert time.estimate() == time.see(1000.0) == 7.0
