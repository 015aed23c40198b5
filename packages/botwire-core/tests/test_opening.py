"""Opening a file that another process makes at the same moment."""

from pathlib import Path
from typing import Any

from botwire.stores import sqlitefile


class Slow:
    """A connection that another process overtakes just before it looks for tables."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection = sqlitefile.connect(path)

    def execute(self, sql: str) -> Any:
        if "sqlite_master" in sql:
            other = sqlitefile.connect(self._path)
            sqlitefile.prepare(other, self._path)
            other.close()
        return self._connection.execute(sql)

    def close(self) -> None:
        self._connection.close()


def test_tables_that_another_process_makes_meanwhile_are_taken_for_ours(tmp_path: Path) -> None:
    path = tmp_path / "memory.db"
    slow: Any = Slow(path)
    sqlitefile.prepare(slow, path)
    assert slow.execute("PRAGMA user_version").fetchone() == (sqlitefile.FORMAT,)
    slow.close()
