"""Which writes may run together: a namespace once at a time, and nobody starves."""

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from botwire.operations import Increment
from botwire.stores.store import GROUP, Ticket
from botwire_server.lanes import TRIES, Lanes


def tickets(*names: str) -> list[Ticket]:
    return [Ticket(Increment(name, "n")) for name in names]


def held_up(waiting: list[Ticket], times: int = 1) -> list[Ticket]:
    for ticket in waiting:
        ticket.held_up += times
    return waiting


def lanes(places: int, waiting: list[Ticket]) -> Lanes:
    made = Lanes(places)
    for ticket in waiting:
        made.add(ticket)
    return made


def test_what_waits_runs_together() -> None:
    waiting = tickets("a", "b", "a")
    assert lanes(1, waiting).take() == waiting


def test_a_group_has_an_end() -> None:
    waiting = tickets(*["a"] * (GROUP + 1))
    line = lanes(1, waiting)
    group = line.take()
    assert group == waiting[:GROUP]
    line.done(group)
    assert line.take() == waiting[GROUP:]


def test_a_crowd_and_a_few_become_two_halves() -> None:
    line = lanes(1, tickets("a", "a"))
    few = line.take()
    for ticket in (crowd := tickets(*["a"] * 62)):  # who comes while the few are written
        line.add(ticket)
    line.done(few)
    half = line.take()
    assert half == crowd[:32]
    for ticket in (back := tickets("a", "a")):  # the few come again
        line.add(ticket)
    line.done(half)
    assert line.take() == [*crowd[32:], *back]


def test_few_are_not_worth_two_groups() -> None:
    line = lanes(1, tickets("a"))
    first = line.take()
    for ticket in (others := tickets(*["a"] * 7)):
        line.add(ticket)
    line.done(first)
    assert line.take() == others


def test_after_a_pause_all_that_wait_are_taken() -> None:
    line = lanes(1, tickets("a"))
    line.done(line.take())
    assert not line.take()
    for ticket in (crowd := tickets(*["a"] * 64)):
        line.add(ticket)
    assert line.take() == crowd


def test_there_are_so_many_groups_at_a_time_and_no_more() -> None:
    line = lanes(2, tickets("a"))
    assert line.take()
    line.add(tickets("b")[0])
    second = line.take()
    line.add(tickets("c")[0])
    assert not line.take()
    line.done(second)
    assert line.take()


def test_a_namespace_that_runs_waits_for_itself_only() -> None:
    line = lanes(4, tickets("a"))
    first = line.take()
    again, other = tickets("a", "b")
    line.add(again)
    line.add(other)
    assert line.take() == [other]
    assert not line.take()
    line.done(first)
    assert line.take() == [again]


def test_others_gather_behind_a_group_until_it_is_done() -> None:
    line = lanes(4, tickets("a"))
    first = line.take()
    line.gather_behind(first)
    others = tickets("b", "a", "c")
    for ticket in others:
        line.add(ticket)
    assert not line.take()
    line.done(first)
    assert line.take() == others


def test_others_gather_behind_a_group_until_it_takes_long() -> None:
    line = lanes(4, tickets("a"))
    first = line.take()
    line.gather_behind(first)
    line.add(other := tickets("b")[0])
    assert not line.take()
    line.let_pass(first)
    second = line.take()
    assert second == [other]
    line.gather_behind(second)
    line.let_pass(first)  # which is not the one ahead any more
    line.add(third := tickets("c")[0])
    line.done(first)
    assert not line.take()
    line.done(second)
    assert line.take() == [third]


def test_nobody_gathers_behind_a_group_that_waits_for_others() -> None:
    held = held_up(tickets("held"), TRIES)
    line = lanes(4, [*tickets("a"), *held])
    line.done(line.take(), held)
    alone = line.take()
    assert alone == held
    line.gather_behind(alone)
    line.add(free := tickets("free")[0])
    assert line.take() == [free]


def test_what_others_hold_is_tried_again_with_the_next_group() -> None:
    free, held = tickets("free", "held")
    line = lanes(4, [free, held])
    line.done(line.take(), held_up([held]))
    line.add(later := tickets("held")[0])
    line.add(other := tickets("other")[0])
    assert line.take() == [held, later, other]


def test_what_others_still_hold_after_some_tries_comes_alone() -> None:
    free, held = tickets("free", "held")
    line = lanes(4, [free, held])
    for _ in range(TRIES):
        group = line.take()
        assert held in group
        line.done(group, held_up([held]))
        line.add(other := tickets("other")[0])
    line.add(later := tickets("held")[0])
    assert line.take() == [held, later]
    assert other in line.take()


def test_what_others_hold_all_of_comes_alone_at_once() -> None:
    held = tickets("held", "also held")
    line = lanes(4, held)
    line.done(line.take(), held_up(held))
    assert len(line.take()) == len(line.take()) == 1


def test_one_place_is_left_for_those_that_need_not_wait() -> None:
    held = held_up(tickets("h1", "h2", "h3", "h4"), TRIES)
    line = lanes(3, held)
    line.done(line.take(), held)
    alone = [line.take(), line.take()]
    assert [len(group) for group in alone] == [1, 1]
    assert not line.take()
    line.add(free := tickets("free")[0])
    assert line.take() == [free]
    line.done(alone[0])
    assert len(line.take()) == 1


def test_a_place_is_left_where_namespaces_that_are_held_come_back_one_by_one() -> None:
    line = lanes(3, [])
    waiting: list[list[Ticket]] = []
    for name in ("h1", "h2", "h3"):
        free, held = tickets("free", name)
        line.add(free)
        line.add(held)
        line.done(line.take(), held_up([held]))
        waiting.append(line.take())  # a group of one namespace that was held waits for its lock
    assert [len(group) for group in waiting] == [1, 1, 0]
    line.add(other := tickets("other")[0])
    assert line.take() == [other]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.sampled_from("abcde"), max_size=60),
    st.integers(1, 5),
    st.randoms(use_true_random=False),
)
def test_everything_is_served_once_and_in_order(
    names: list[str], places: int, random: Random
) -> None:
    waiting = tickets(*names)
    line = lanes(places, waiting)
    running: list[list[Ticket]] = []
    served: list[Ticket] = []
    while len(served) < len(waiting):
        while group := line.take():
            running.append(group)
            if random.random() < 0.5:
                line.gather_behind(group)
        assert len(running) <= places
        busy = [{ticket.operation.namespace for ticket in group} for group in running]
        assert sum(map(len, busy)) == len(set().union(*busy))
        group = running.pop(random.randrange(len(running)))
        left_out = set(random.sample("abcde", 2)) if len(busy) > 0 else set()
        single = len({ticket.operation.namespace for ticket in group}) == 1
        left = [t for t in group if t.operation.namespace in left_out and not single]
        line.done(group, held_up(left))
        served += [ticket for ticket in group if ticket not in left]
    for name in "abcde":
        mine = [ticket for ticket in waiting if ticket.operation.namespace == name]
        assert [t for t in served if t.operation.namespace == name] == mine
    assert not line.take()
