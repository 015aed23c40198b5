"""What an error of PostgreSQL means for the caller, and whether trying again at once may help."""

import psycopg
from psycopg import errors

from botwire.errors import BotWireError, Busy, StorageFull, TooLarge, Unavailable

__all__ = ["failure", "passes", "unknown_outcome"]

# Two transactions were in each other's way, and this one was undone.
_COLLISIONS = (errors.SerializationFailure, errors.DeadlockDetected)
_FULL = (errors.DiskFull, errors.OutOfMemory, errors.ConfigurationLimitExceeded)
_SLOW = (errors.LockNotAvailable, errors.QueryCanceled, errors.IdleInTransactionSessionTimeout)
_TOO_LARGE = (errors.ProgramLimitExceeded, errors.StatementTooComplex)


def passes(error: psycopg.Error, lost: bool) -> bool:
    """Whether the same transaction may succeed at once on another connection."""
    return lost or isinstance(error, (*_COLLISIONS, errors.ReadOnlySqlTransaction))


def failure(error: psycopg.Error, place: str) -> BotWireError:
    """The error that says it to the caller; nothing was changed."""
    what = str(error).strip().partition("\n")[0]
    if isinstance(error, _FULL):
        return StorageFull(
            f"{place} cannot grow: {what}; nothing was changed",
            hint="Free disk space on the database's machine, then try again; no restart is needed.",
        )
    if isinstance(error, _SLOW):
        return Busy(
            f"{place} took too long: {what}; nothing was changed",
            hint="Try again; if it stays so, look for a transaction that stays open:"
            " SELECT * FROM pg_stat_activity WHERE state = 'idle in transaction'",
        )
    if isinstance(error, _TOO_LARGE):
        return TooLarge(f"{place} cannot hold that: {what}")
    if isinstance(error, psycopg.OperationalError):
        return Unavailable(
            f"{place} cannot be reached: {what}; nothing was changed",
            hint="Try again; if it stays so, see whether the database runs: botwire doctor",
        )
    return Unavailable(
        f"{place} cannot be used: {what} ({type(error).__name__})",
        hint="Check that it is a BotWire memory that this user may read and write: botwire doctor",
    )


def unknown_outcome(place: str) -> BotWireError:
    """The connection was lost while the database committed."""
    return Unavailable(
        f"the connection to {place} was lost during the commit:"
        " it is not known whether the write was kept",
        hint="Repeat it with the same Idempotency-Key (the library does): it happens once.",
    )
