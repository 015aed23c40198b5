"""What this process knows of namespaces without asking: as it left them itself.

With it a group of writes is applied without reading anything first, and takes one round trip
instead of two (docs/decisions/021-writing-without-reading.md). Rules:

- It is a guess. The database compares it within the transaction that it leads to
  (`sql.CHECK_KNOWN`), and undoes that where somebody else has changed the namespace.
- The ledger says whether a namespace is as it was: every change of a row changes it, and it never
  becomes again what it was (`writes` rises within a day, `day` never falls, and what is counted as
  no write only makes `entries` fall). The one change that is in no ledger, a sliding row that lives
  on, is why such rows are not kept.
- Where others write, too, guesses fail: that costs more than one saves, and leaves an error in the
  log of the database. So each failure makes guesses rarer: a namespace is guessed only after it was
  found unchanged several times in a row, and more times with each failure. What succeeds takes that
  back slowly.
"""

import threading
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from botwire.stores.base import Ledger, Row
from botwire_server.postgres.clock import CLOSE

__all__ = ["Guess", "Known", "Place"]

Place = tuple[str, str]  # namespace and key

LARGE = 8192  # characters of a value that is not kept
OVERHEAD = 550  # bytes that a row takes in memory besides its value, about; a namespace, too
LIMIT = 32_000_000  # bytes that all of them take, about
CAUTIOUS = 62  # how often in a row a namespace must be found unchanged at most, to be guessed
REDEEMING = 16  # guesses that make up for half of that
NEAR = 2 * CLOSE  # seconds before and after which a row's expiry is certain


class Guess(NamedTuple):
    """Namespaces and rows (None: there is none) as they probably are, and about what time it is."""

    ledgers: dict[str, Ledger]
    rows: dict[Place, Row | None]
    now: float


class _State:
    """A namespace as it was left, and some of its rows."""

    __slots__ = ("ledger", "rows", "streak")

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.rows: dict[str, Row] = {}
        self.streak = 0  # how often in a row it was found unchanged

    def keep(self, key: str, row: Row | None) -> int:
        """Replace a row; returns how much more memory that takes."""
        old = self.rows.get(key)
        if row is old:
            return 0
        if row is None or row.sliding or len(row.value) > LARGE:
            return -_weight(self.rows.pop(key)) if old is not None else 0
        self.rows[key] = row
        return len(row.value) - len(old.value) if old is not None else _weight(row)


class Known:
    """Namespaces as this process left them; those that were written last stay. Thread-safe."""

    def __init__(self) -> None:
        self._states: dict[str, _State] = {}  # those that were written last stand last
        self._weight = 0
        self._caution = 0
        self._right = 0  # guesses, since caution has changed
        self._lock = threading.Lock()

    def guess(self, names: Iterable[str], places: Iterable[Place], now: float) -> Guess | None:
        """All that a transaction on these namespaces and rows would load, if all of it is known."""
        with self._lock:
            ledgers: dict[str, Ledger] = {}
            for name in names:
                state = self._states.get(name)
                if state is None or state.streak < self._caution:
                    return None
                ledgers[name] = state.ledger
            rows: dict[Place, Row | None] = {}
            for place in places:
                state = self._states[place[0]]
                row = rows[place] = state.rows.get(place[1])
                if row is None:
                    if len(state.rows) != state.ledger.entries:
                        return None  # it may be one of the others
                elif row.expires_at is not None and abs(row.expires_at - now) <= NEAR:
                    return None
            return Guess(ledgers, rows, now)

    def judge(self, *, right: bool) -> None:
        """Tell how a guess came out."""
        with self._lock:
            self._right = self._right + 1 if right else 0
            if not right:
                self._caution = min(2 * self._caution + 2, CAUTIOUS)
            elif self._right == REDEEMING:
                self._caution, self._right = self._caution // 2, 0

    def learn(
        self,
        before: Mapping[str, Ledger],
        after: Mapping[str, Ledger],
        rows: Mapping[Place, Row | None],
    ) -> None:
        """Keep what a transaction has left behind.

        Args:
            before: the namespaces that it had locked, as it found them.
            after: how it left them.
            rows: those it has read or written, as they are now; also of other namespaces.
        """
        with self._lock:
            for name, ledger in before.items():
                state = self._take(name, ledger)
                state.ledger = after[name]
                self._states[name] = state
                self._weight += OVERHEAD
            for (name, key), row in rows.items():
                if name in before:
                    self._weight += self._states[name].keep(key, row)
            while self._weight > LIMIT:
                self._drop(next(iter(self._states)))

    def _take(self, name: str, found: Ledger) -> _State:
        """The state of a namespace that was found like that, taken out."""
        state = self._states.get(name)
        if state is None:
            return _State()
        if state.ledger != found:
            self._drop(name)
            return _State()
        del self._states[name]
        self._weight -= OVERHEAD
        state.streak += 1
        return state

    def _drop(self, name: str) -> None:
        self._weight -= OVERHEAD + sum(map(_weight, self._states.pop(name).rows.values()))

    def forget(self) -> None:
        """Know nothing any more: this may be another database than it was."""
        with self._lock:
            self._states.clear()
            self._weight = 0


def _weight(row: Row) -> int:
    return OVERHEAD + len(row.value)
