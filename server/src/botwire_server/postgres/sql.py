"""Every SQL text of the PostgreSQL store. No caller's text ever becomes SQL.

Lists of values travel as arrays in PostgreSQL's text form, which costs a fraction of what a
parameter each costs, and leaves one prepared statement for any number of rows.
"""

from collections.abc import Sequence
from typing import LiteralString

from psycopg.errors import InvalidTextRepresentation

__all__ = [
    "BEGIN",
    "BEGIN_SNAPSHOT",
    "CHECK_FAILED",
    "CHECK_KNOWN",
    "CHECK_NEW_KEYS",
    "CHUNKS",
    "COMMIT",
    "CREATE_NAMESPACES",
    "EXPIRED",
    "EXPIRED_SIZE",
    "FORGET_REPLIES",
    "KEEP",
    "LEDGER",
    "LOCK",
    "LOCK_FREE",
    "LOCK_TIMEOUT",
    "NAMESPACES",
    "NOTE_TIME",
    "NOW",
    "PUSH_TIME",
    "READ",
    "READ_MANY",
    "READ_SMALL",
    "RECALL",
    "RECALL_MANY",
    "REMEMBER",
    "REMOVE_CHUNKS",
    "REMOVE_ROWS",
    "ROLLBACK",
    "ROWS",
    "SAVEPOINT",
    "SAVE_CHUNKS",
    "SAVE_LEDGERS",
    "SAVE_ROWS",
    "SCAN_ROWS",
    "SEEN",
    "UNDO",
    "numbers",
    "texts",
]


def texts(values: Sequence[str]) -> str:
    r"""An array of texts as PostgreSQL reads it.

    >>> texts(["a", 'say "\\"'])
    '{"a","say \\"\\\\\\""}'
    """
    quoted = '","'.join([value.replace("\\", "\\\\").replace('"', '\\"') for value in values])
    return f'{{"{quoted}"}}' if values else "{}"


def numbers(values: Sequence[float | None]) -> str:
    """An array of numbers (None: NULL) as PostgreSQL reads it.

    >>> numbers([1, 0.5, None])
    '{1, 0.5, NULL}'
    """
    # There are ten lists for each group of writes. Most say the same everywhere; for the others
    # Python's list is the fastest text.
    if values and values.count(values[0]) == len(values):
        listed = (f", {values[0]}" * len(values))[2:]
    else:
        listed = str(list(values))[1:-1]
    return f"{{{listed.replace('None', 'NULL')}}}"


BEGIN: LiteralString = "BEGIN ISOLATION LEVEL READ COMMITTED"
BEGIN_SNAPSHOT: LiteralString = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
COMMIT: LiteralString = "COMMIT"
ROLLBACK: LiteralString = "ROLLBACK"
SAVEPOINT: LiteralString = "SAVEPOINT part"
KEEP: LiteralString = "RELEASE SAVEPOINT part"
UNDO: LiteralString = "ROLLBACK TO SAVEPOINT part"

# The moment a statement arrives, before it looks at any row: what it finds alive then was alive.
_TIME: LiteralString = "extract(epoch FROM statement_timestamp())::float8 + t.ahead"
NOW: LiteralString = f"SELECT {_TIME} FROM botwire.time t"
SEEN: LiteralString = "SELECT seen FROM botwire.time"
NOTE_TIME: LiteralString = f"UPDATE botwire.time t SET seen = greatest(seen, {_TIME})"
PUSH_TIME: LiteralString = """UPDATE botwire.time
    SET ahead = greatest(ahead, %s::float8 - extract(epoch FROM clock_timestamp())::float8)"""

_COLUMNS: LiteralString = """e.key, e.value, e.version, e.bytes, e.created_at, e.updated_at,
    e.expires_at, e.ttl, e.sliding, e.head, e.mid, e."end" """
READ: LiteralString = f"""SELECT {_TIME}, e.namespace, {_COLUMNS} FROM botwire.time t
    LEFT JOIN botwire.entries e ON e.namespace = %s AND e.key = %s"""
# LATERAL with OFFSET keeps the planner from reading all rows and looking each up in the list, which
# it does for a table that is small when the plan is made.
_WANTED: LiteralString = """unnest(%s::text[], %s::text[]) AS wanted (namespace, key)
    CROSS JOIN LATERAL (SELECT * FROM botwire.entries
        WHERE namespace = wanted.namespace AND key = wanted.key OFFSET 0) e"""
READ_MANY: LiteralString = f"""SELECT {_TIME}, e.namespace, {_COLUMNS} FROM botwire.time t
    LEFT JOIN ({_WANTED}) ON true"""
# Large values are left out and read one by one: a group of them would fill the memory.
READ_SMALL: LiteralString = READ_MANY.replace(
    "e.value", "CASE WHEN octet_length(e.value) <= 65536 THEN e.value ELSE '' END", 1
)
ROWS: LiteralString = f"SELECT e.namespace, {_COLUMNS} FROM {_WANTED}"
LEDGER: LiteralString = """SELECT version, entries, bytes, day, writes FROM botwire.namespaces
    WHERE namespace = %s"""
# In the order of the names, so that nobody waits for each other.
_LOCK: LiteralString = """SELECT n.namespace, n.version, n.entries, n.bytes, n.day, n.writes
    FROM unnest(%s::text[]) AS wanted (name) CROSS JOIN LATERAL
    (SELECT * FROM botwire.namespaces WHERE namespace = wanted.name FOR UPDATE"""
LOCK: LiteralString = f"{_LOCK}) n"
LOCK_FREE: LiteralString = f"{_LOCK} SKIP LOCKED) n"
# Locks namespaces if all are as their ledgers say and it is about the time that is given; else the
# transaction fails. Plain SQL can only fail by a cast; its text is what the database's log shows.
CHECK_FAILED = InvalidTextRepresentation
CHECK_KNOWN: LiteralString = f"""SELECT CASE
    WHEN count(*) = %s::bigint
        AND abs((SELECT {_TIME} FROM botwire.time t) - %s::float8) <= %s::float8
    THEN 0 ELSE ('botwire: somebody else wrote; it reads and tries again ' || count(*))::bigint END
    FROM unnest(%s::text[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[])
        AS known (name, version, entries, bytes, day, writes) CROSS JOIN LATERAL
    (SELECT namespace FROM botwire.namespaces WHERE namespace = known.name
        AND version = known.version AND entries = known.entries AND bytes = known.bytes
        AND day = known.day AND writes = known.writes FOR UPDATE SKIP LOCKED) n"""
LOCK_TIMEOUT: LiteralString = "SELECT set_config('lock_timeout', %s, true)"
# What exists is left out before the insert, which would wait for whoever changes it.
CREATE_NAMESPACES: LiteralString = """INSERT INTO botwire.namespaces (namespace)
    SELECT name FROM unnest(%s::text[]) AS wanted (name)
    WHERE NOT EXISTS (SELECT FROM botwire.namespaces WHERE namespace = name) ORDER BY name
    ON CONFLICT DO NOTHING RETURNING namespace"""
RECALL: LiteralString = """SELECT fingerprint, reply FROM botwire.replies
    WHERE namespace = %s AND idempotency_key = %s"""
RECALL_MANY: LiteralString = """SELECT r.namespace, r.idempotency_key, r.fingerprint, r.reply
    FROM unnest(%s::text[], %s::text[]) AS wanted (namespace, key)
    JOIN botwire.replies r
    ON r.namespace = wanted.namespace AND r.idempotency_key = wanted.key"""
# Fails if one of these idempotency keys was used before.
CHECK_NEW_KEYS: LiteralString = """SELECT CASE WHEN count(*) = 0 THEN 0
    ELSE ('botwire: an idempotency key came again; it reads the reply ' || count(*))::bigint END
    FROM unnest(%s::text[], %s::text[]) AS given (namespace, key)
    JOIN botwire.replies r
    ON r.namespace = given.namespace AND r.idempotency_key = given.key"""
CHUNKS: LiteralString = """SELECT start, count, text FROM botwire.chunks
    WHERE namespace = %s AND key = %s AND start < %s AND start + count > %s ORDER BY start"""
NAMESPACES: LiteralString = """SELECT namespace FROM botwire.namespaces
    WHERE namespace > %s AND version > 0 ORDER BY namespace LIMIT %s"""
EXPIRED: LiteralString = f"""SELECT e.namespace, {_COLUMNS.replace("e.value", "''", 1)}
    FROM botwire.entries e WHERE e.expires_at <= %s ORDER BY e.expires_at LIMIT %s"""
EXPIRED_SIZE: LiteralString = """SELECT count(*),
    coalesce(sum(bytes + octet_length(key)), 0)::bigint FROM botwire.entries
    WHERE namespace = %s AND expires_at <= %s"""

_SCAN: LiteralString = f"""SELECT {_COLUMNS} FROM botwire.entries e
    WHERE e.namespace = %s AND e.key >= %s AND e.key > %s
    AND (e.expires_at IS NULL OR e.expires_at > %s) AND e.version > %s"""


def _scan(values: bool, bounded: bool, reverse: bool) -> LiteralString:
    sql = _SCAN if values else _SCAN.replace("e.value", "''", 1)
    sql += " AND e.key < %s" if bounded else ""
    return sql + (" ORDER BY e.key DESC LIMIT %s" if reverse else " ORDER BY e.key LIMIT %s")


SCAN_ROWS: dict[tuple[bool, bool, bool], LiteralString] = {
    (values, bounded, reverse): _scan(values, bounded, reverse)
    for values in (True, False)
    for bounded in (True, False)
    for reverse in (True, False)
}

SAVE_ROWS: LiteralString = """INSERT INTO botwire.entries (namespace, key, value, version, bytes,
        created_at, updated_at, expires_at, ttl, sliding, head, mid, "end")
    SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::bigint[], %s::bigint[],
        %s::float8[], %s::float8[], %s::float8[], %s::float8[], %s::smallint[],
        %s::bigint[], %s::bigint[], %s::bigint[])
    ON CONFLICT (namespace, key) DO UPDATE SET value = excluded.value, version = excluded.version,
    bytes = excluded.bytes, created_at = excluded.created_at, updated_at = excluded.updated_at,
    expires_at = excluded.expires_at, ttl = excluded.ttl, sliding = excluded.sliding,
    head = excluded.head, mid = excluded.mid, "end" = excluded."end" """
REMOVE_ROWS: LiteralString = """DELETE FROM botwire.entries e
    USING unnest(%s::text[], %s::text[]) AS gone (namespace, key)
    WHERE e.namespace = gone.namespace AND e.key = gone.key"""
SAVE_CHUNKS: LiteralString = """INSERT INTO botwire.chunks (namespace, key, start, count, text)
    SELECT * FROM unnest(%s::text[], %s::text[], %s::bigint[], %s::bigint[], %s::text[])"""
REMOVE_CHUNKS: LiteralString = """DELETE FROM botwire.chunks c
    USING unnest(%s::text[], %s::text[], %s::bigint[]) AS gone (namespace, key, before)
    WHERE c.namespace = gone.namespace AND c.key = gone.key AND c.start < gone.before"""
# The rows are there and locked; an UPDATE with a join may be planned to read all namespaces.
SAVE_LEDGERS: LiteralString = """INSERT INTO botwire.namespaces
        (namespace, version, entries, bytes, day, writes)
    SELECT * FROM unnest(%s::text[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[],
        %s::bigint[])
    ON CONFLICT (namespace) DO UPDATE SET version = excluded.version,
    entries = excluded.entries, bytes = excluded.bytes, day = excluded.day,
    writes = excluded.writes"""
REMEMBER: LiteralString = """INSERT INTO botwire.replies
        (namespace, idempotency_key, fingerprint, reply, expires_at)
    SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::float8[])"""
FORGET_REPLIES: LiteralString = """DELETE FROM botwire.replies r
    USING (SELECT namespace, idempotency_key FROM botwire.replies WHERE expires_at <= %s
        ORDER BY expires_at LIMIT %s FOR UPDATE SKIP LOCKED) AS gone
    WHERE r.namespace = gone.namespace AND r.idempotency_key = gone.idempotency_key"""
