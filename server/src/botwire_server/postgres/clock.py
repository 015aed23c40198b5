"""The time of the database, as one process knows it (docs/decisions/014).

Transactions read it; in between it is estimated, and the database compares the estimate with its
clock before anything is changed by it (`sql.CHECK_KNOWN`).
"""

import time
from collections.abc import Callable

__all__ = ["CLOSE", "ClockSetBack", "DatabaseTime"]

FRESH = 5.0  # seconds since the time was read, after which it is not estimated any more
CLOSE = 0.5  # seconds by which an estimate may be wrong


class ClockSetBack(Exception):
    """The database's clock shows less than it did; nothing was changed."""


class DatabaseTime:
    """Moments that were read from the database, and about how late it is now.

    Args:
        clock: gives the time instead of the database, in tests.
    """

    def __init__(self, clock: Callable[[], float] | None = None) -> None:
        self._clock = clock
        self.close = CLOSE if clock is None else float("inf")  # how far off an estimate may be
        self.floor = 0.0  # the latest moment that was seen
        self._ahead = float("-inf")  # of this machine's monotonic clock, at least
        self._read_at = float("-inf")

    def see(self, moment: float, floor: float = 0.0) -> float:
        """Take note of a moment that the database has shown; returns the time that counts.

        Raises:
            ClockSetBack: it lies before `floor`, a moment that had been when it was asked for.
        """
        if self._clock is not None:
            return self._clock()
        if moment < floor:
            raise ClockSetBack
        self.floor = max(self.floor, moment)
        self._read_at = time.monotonic()
        ahead = moment - self._read_at
        # What came in late shows too little, so the most counts, or estimates would step back. A
        # difference that no estimate may have is that of a clock that was changed.
        if ahead > self._ahead or self._ahead - ahead > CLOSE:
            self._ahead = ahead
        return moment

    def estimate(self) -> float | None:
        """About what the database would show now; None when it was not read for some seconds."""
        if self._clock is not None:
            return self._clock()
        now = time.monotonic()
        return max(now + self._ahead, self.floor) if now - self._read_at < FRESH else None
