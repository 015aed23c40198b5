"""API keys: who may call, what a key allows, and what happens when the file changes."""

import json
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from botwire import BotWireError, Memory
from botwire.errors import Forbidden, InvalidRequest, Unauthorized
from botwire.testing import ServerProcess
from botwire_server import keys
from botwire_server.keys import KeyFile
from botwire_server.settings import Settings


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("keys") / "keys.json"


@pytest.fixture(scope="module")
def secrets(file: Path) -> dict[str, str]:
    return {
        "full": keys.create(file)[1],
        "alice": keys.create(file, prefix="alice:")[1],
        "reader": keys.create(file, read_only=True)[1],
    }


@pytest.fixture(scope="module")
def guarded(
    tmp_path_factory: pytest.TempPathFactory, file: Path, secrets: dict[str, str]
) -> Iterator[ServerProcess]:
    store = f"sqlite:///{tmp_path_factory.mktemp('guarded') / 'server.db'}"
    with ServerProcess(store, api_keys=file) as process:
        yield process


def test_every_call_needs_a_key(guarded: ServerProcess) -> None:
    with httpx.Client(base_url=guarded.url) as client:
        for response in (
            client.get("/memory/a/k"),
            client.get("/memory/a"),
            client.put("/memory/a/k", json={"value": 1}),
            client.post("/v1/get", json={"namespace": "a", "key": "k"}),
            client.get("/metrics"),
            client.get("/memory/a/k", headers={"authorization": "Bearer wrong"}),
            client.get("/memory/a/k", headers={"authorization": "Basic d3Jvbmc="}),
        ):
            assert response.status_code == 401, response.request
            assert response.headers["www-authenticate"] == "Bearer"
        assert client.get("/healthz").status_code == 200
        assert client.get("/readyz").status_code == 200


def test_a_key_opens_what_it_is_for(guarded: ServerProcess, secrets: dict[str, str]) -> None:
    with guarded.memory("any", api_key=secrets["full"]) as memory:
        memory.set("k", 1)
    with guarded.memory("alice:plans", api_key=secrets["alice"]) as memory:
        memory.set("k", 1)
    with guarded.memory("bob", api_key=secrets["alice"]) as memory, pytest.raises(Forbidden):
        memory.get("k")
    with guarded.memory("any", api_key=secrets["reader"]) as memory:
        assert memory.get("k") == 1
        for write in (lambda: memory.set("k", 2), memory.clear, lambda: memory.append("l", 1)):
            with pytest.raises(Forbidden, match="only read"):
                write()


def test_the_key_comes_from_the_environment(
    guarded: ServerProcess, secrets: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOTWIRE_API_KEY", secrets["full"])
    with guarded.memory("environment") as memory:
        assert memory.set("k", 1) == 1


def test_a_missing_key_says_what_to_do(guarded: ServerProcess) -> None:
    with guarded.memory("x") as memory, pytest.raises(Unauthorized, match="BOTWIRE_API_KEY"):
        memory.get("k")


def test_a_revoked_key_stops_working_without_a_restart(guarded: ServerProcess, file: Path) -> None:
    key, secret = keys.create(file)
    with guarded.memory("revoked", api_key=secret) as memory:
        assert _until(lambda: memory.set("k", 1) > 0)
        keys.revoke(file, key.id)
        assert _until(lambda: _refused(memory))


def _refused(memory: Memory) -> bool:
    try:
        memory.get("k")
    except Unauthorized:
        return True
    return False


def _until(condition: object) -> bool:
    """Whether a condition holds within the second in which the server looks at the file."""
    import time

    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            if condition():  # type: ignore[operator]
                return True
        except BotWireError:
            pass
        time.sleep(0.05)
    return False


def test_keys_that_are_made_and_revoked_at_once_are_all_kept_and_all_gone(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    old = [keys.create(file)[0] for _ in range(10)]
    with ThreadPoolExecutor(4) as threads:
        made = [threads.submit(keys.create, file) for _ in range(20)]
        for gone in [threads.submit(keys.revoke, file, key.id) for key in old]:
            gone.result()
        ids = {future.result()[0].id for future in made}
    assert {key.id for key in keys.load(file)} == ids


def test_a_file_that_is_spoilt_while_it_is_used_is_logged_and_changes_nothing(
    tmp_path: Path,
) -> None:
    file = tmp_path / "keys.json"
    secret = keys.create(file)[1]
    with ServerProcess("memory://", api_keys=file) as server:
        with server.memory("agent", api_key=secret) as memory:
            memory.set("k", 1)
            file.write_text('{"keys": [')
            spoilt = "the API keys stay as they were"
            assert _until(
                lambda: memory.get("k") == 1 and spoilt in [line["message"] for line in server.log]
            )
            assert memory.get("k") == 1
            file.unlink()
            other = keys.create(file)[1]
        with server.memory("agent", api_key=other) as memory:
            assert _until(lambda: memory.get("k") == 1)


@pytest.mark.parametrize("spoil", [b"geheim\xff", b"[]", b'{"keys": [{"geheim": 1}]}', b"geheim"])
def test_a_file_of_something_else_is_refused_without_showing_what_it_holds(
    tmp_path: Path, spoil: bytes
) -> None:
    file = tmp_path / "keys.json"
    file.write_bytes(spoil)
    for use in (keys.load, keys.create, KeyFile):
        with pytest.raises(InvalidRequest, match="is no file of API keys") as refused:
            use(file)
        assert "geheim\\xff" not in str(refused.value)
    assert file.read_bytes() == spoil


def test_a_file_that_cannot_be_made_or_read_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="cannot be changed"):
        keys.create(tmp_path / "missing" / "keys.json")
    with pytest.raises(InvalidRequest, match="cannot be read: Is a directory"):
        keys.load(tmp_path)


def test_the_file_holds_no_keys_and_is_private(file: Path, secrets: dict[str, str]) -> None:
    text = file.read_text()
    assert not any(secret in text for secret in secrets.values())
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert {len(key["hash"]) for key in json.loads(text)["keys"]} == {64}


def test_secrets_are_in_no_log_and_no_message(
    guarded: ServerProcess, secrets: dict[str, str]
) -> None:
    with guarded.memory("canary-namespace", api_key=secrets["full"]) as memory:
        memory.set("canary-key", "canary-value")
        assert secrets["full"] not in repr(memory)
        with pytest.raises(BotWireError) as error:
            memory.increment("canary-key")
        assert secrets["full"] not in str(error.value)
    log = json.dumps(guarded.log)
    assert "canary" not in log
    assert secrets["full"] not in log


def test_without_keys_the_server_stays_on_this_machine() -> None:
    with pytest.raises(InvalidRequest, match="this machine only"):
        Settings(host="0.0.0.0")
    assert Settings(host="0.0.0.0", open=True).open
    assert Settings(host="0.0.0.0", api_keys=Path("keys.json")).host == "0.0.0.0"


def test_a_page_that_points_its_own_name_at_this_machine_is_refused(client: httpx.Client) -> None:
    evil = client.get("/memory/a/k", headers={"host": "evil.example"})
    assert evil.status_code == 403
    assert client.get("/memory/a/k", headers={"host": "localhost:1"}).status_code == 404


def test_a_server_with_an_empty_key_file_does_not_start(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="no API keys"):
        keys.KeyFile(tmp_path / "none.json")
