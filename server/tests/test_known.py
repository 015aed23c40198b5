"""What a process remembers of namespaces: all of it or nothing, and never what may be otherwise."""

import pytest

from botwire.stores.base import Ledger, Row
from botwire_server.postgres import known
from botwire_server.postgres.known import Guess, Known

EMPTY = Ledger()
ONE = Ledger(1, 1, 10, 5, 1)
TWO = Ledger(2, 1, 10, 5, 2)
NOW = 1000.0


def row(key: str, **facts: object) -> Row:
    return Row(key, '"v"', 1, 3, NOW, NOW)._replace(**facts)


def remembered(*rows: Row, ledger: Ledger = ONE) -> Known:
    memory = Known()
    memory.learn({"ns": EMPTY}, {"ns": ledger}, {("ns", each.key): each for each in rows})
    return memory


def guess(memory: Known, *keys: str, now: float = NOW) -> Guess | None:
    return memory.guess(["ns"], [("ns", key) for key in keys], now)


def test_what_was_left_is_known() -> None:
    assert guess(remembered(row("k")), "k") == Guess({"ns": ONE}, {("ns", "k"): row("k")}, NOW)


def test_of_what_was_never_seen_nothing_is_known() -> None:
    assert Known().guess(["ns"], [], NOW) is None
    assert remembered(row("k")).guess(["ns", "other"], [("ns", "k")], NOW) is None


def test_a_key_is_known_to_be_missing_when_all_others_are_known() -> None:
    assert guess(remembered(row("k")), "new") == Guess({"ns": ONE}, {("ns", "new"): None}, NOW)
    assert guess(remembered(row("k"), ledger=ONE._replace(entries=2)), "new") is None


def test_a_row_that_was_removed_is_known_to_be_missing() -> None:
    memory = remembered(row("k"))
    gone = Ledger(2, 0, 0, 5, 2)
    memory.learn({"ns": ONE}, {"ns": gone}, {("ns", "k"): None})
    assert guess(memory, "k") == Guess({"ns": gone}, {("ns", "k"): None}, NOW)


@pytest.mark.parametrize(
    "other",
    [row("k", sliding=1), row("k", value="x" * 8193)],
    ids=["lives on when it is read", "large"],
)
def test_what_may_change_or_is_large_is_not_kept(other: Row) -> None:
    assert guess(remembered(other), "k") is None
    memory = remembered(row("k"))
    memory.learn({"ns": ONE}, {"ns": TWO}, {("ns", "k"): other})
    assert guess(memory, "k") is None


@pytest.mark.parametrize("expires_at", [NOW - 0.9, NOW, NOW + 0.9])
def test_a_row_that_expires_about_now_is_not_guessed(expires_at: float) -> None:
    assert guess(remembered(row("k", expires_at=expires_at)), "k") is None


@pytest.mark.parametrize("expires_at", [NOW - 1.1, NOW + 1.1])
def test_a_row_whose_expiry_is_certain_is_guessed(expires_at: float) -> None:
    assert guess(remembered(row("k", expires_at=expires_at)), "k")


def test_what_somebody_else_changed_is_forgotten() -> None:
    memory = remembered(row("k"), row("old"), ledger=ONE._replace(entries=2))
    memory.learn({"ns": TWO}, {"ns": TWO}, {("ns", "k"): row("k", version=7)})
    found = guess(memory, "k")
    assert found
    assert found.rows == {("ns", "k"): row("k", version=7)}
    memory.learn({"ns": ONE}, {"ns": ONE._replace(entries=2)}, {("ns", "k"): row("k")})
    assert guess(memory, "old") is None


def unchanged_until_guessed(memory: Known) -> int:
    """How often the namespace must be found unchanged, after somebody else changed it."""
    memory.learn({"ns": TWO}, {"ns": ONE}, {("ns", "k"): row("k")})
    for times in range(1000):
        if guess(memory, "k"):
            return times
        memory.learn({"ns": ONE}, {"ns": ONE}, {})
    raise AssertionError


def test_the_more_guesses_were_wrong_the_longer_a_namespace_must_be_unchanged() -> None:
    memory = remembered(row("k"))
    needed = [unchanged_until_guessed(memory)]
    for _ in range(7):
        memory.judge(right=False)
        needed.append(unchanged_until_guessed(memory))
    assert needed == [0, 2, 6, 14, 30, 62, 62, 62]


def test_guesses_that_are_right_take_that_back() -> None:
    memory = remembered(row("k"))
    for _ in range(3):
        memory.judge(right=False)
    needed: list[int] = []
    for _ in range(5):
        for _ in range(known.REDEEMING):
            memory.judge(right=True)
        needed.append(unchanged_until_guessed(memory))
    assert needed == [7, 3, 1, 0, 0]


def test_a_wrong_guess_among_right_ones_counts_more_than_they_do() -> None:
    memory = remembered(row("k"))
    for _ in range(20):
        memory.judge(right=False)
        for _ in range(known.REDEEMING - 1):
            memory.judge(right=True)
    assert unchanged_until_guessed(memory) == known.CAUTIOUS


def test_rows_of_namespaces_that_were_not_locked_are_not_learnt() -> None:
    memory = remembered(row("k"))
    memory.learn({}, {}, {("ns", "k"): row("k", version=9), ("other", "k"): row("k")})
    assert guess(memory, "k") == Guess({"ns": ONE}, {("ns", "k"): row("k")}, NOW)
    assert memory.guess(["other"], [("other", "k")], NOW) is None


def test_the_namespaces_that_were_written_last_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known, "LIMIT", 10 * (known.OVERHEAD * 2 + 3))
    memory = Known()

    def write(number: int, before: Ledger = EMPTY) -> None:
        name = f"ns-{number}"
        memory.learn({name: before}, {name: ONE}, {(name, "k"): row("k")})

    for number in range(10):
        write(number)
    write(0, before=ONE)
    for number in range(10, 14):
        write(number)
    left = [number for number in range(14) if memory.guess([f"ns-{number}"], [], NOW)]
    assert left == [0, *range(5, 14)]


def test_memory_is_counted_as_rows_come_and_change_and_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known, "LIMIT", 3 * known.OVERHEAD + 2000)
    memory = remembered(row("k"))
    for _ in range(1000):
        memory.learn({"ns": ONE}, {"ns": ONE}, {("ns", "k"): row("k", value="x" * 1900)})
        memory.learn({"ns": ONE}, {"ns": ONE}, {("ns", "k"): row("k")})
        memory.learn({"ns": ONE}, {"ns": ONE}, {("ns", "more"): row("more")})
        memory.learn({"ns": ONE}, {"ns": ONE}, {("ns", "more"): None})
        memory.learn({"ns": TWO}, {"ns": ONE}, {("ns", "k"): row("k")})  # somebody else wrote
        assert guess(memory, "k")
    memory.learn({"ns": ONE}, {"ns": ONE}, {("ns", "k"): row("k", value="x" * 4000)})
    assert guess(memory) is None


def test_all_can_be_forgotten() -> None:
    memory = remembered(row("k"))
    memory.forget()
    assert guess(memory, "k") is None
