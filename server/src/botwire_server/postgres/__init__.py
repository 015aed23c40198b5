"""Memory in a PostgreSQL database that any number of servers share.

- `store.py` is the store, `session.py` one transaction, `sql.py` every SQL text;
- `pool.py` holds the connections, `failures.py` says what their errors mean to a caller;
- `migrate.py` brings the schema (`../migrations/*.sql`) up to date;
- plain SQL and the ordinary wire, so that managed databases serve as well.

A namespace is the unit of order and quota. Whoever writes to it holds the lock on its row in
`namespaces` until the commit, and nothing here takes a lock wider than that.
"""

from botwire_server.postgres.store import PostgresStore

__all__ = ["PostgresStore"]
