"""The command line: data on stdout, the rest on stderr, and exit codes a script can rely on."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from botwire import Memory, cli
from botwire.jsontext import decode, members

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.setenv("BOTWIRE_URL", f"sqlite:///{tmp_path / 'memory.db'}")

    def run(*arguments: str) -> tuple[int, str, str]:
        try:
            code = cli.main(arguments)
        except SystemExit as exit_:
            code = int(exit_.code or 0)
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


def test_what_is_set_can_be_got(run: Run) -> None:
    assert run("set", "greeting", "hello") == (0, "", "greeting = text, version 1\n")
    assert run("get", "greeting") == (0, "hello\n", "")
    run("set", "plan", '{"step": 1}')
    assert run("get", "plan")[1] == '{"step":1}\n'


def test_values_are_json_where_they_are_json_and_text_on_demand(run: Run) -> None:
    run("set", "n", "42")
    run("set", "t", "42", "--text")
    assert json.loads(run("get", "n", "--json")[1])["value"] == 42
    assert json.loads(run("get", "t", "--json")[1])["value"] == "42"


def test_values_come_from_stdin_and_files(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO('["from", "stdin"]\n'))
    run("set", "in", "-")
    assert run("get", "in")[1] == '["from","stdin"]\n'
    (tmp_path / "value.txt").write_text("from a file\n")
    run("set", "file", f"@{tmp_path / 'value.txt'}")
    assert run("get", "file")[1] == "from a file\n"
    assert run("set", "none", f"@{tmp_path / 'none'}")[0] == 2


def test_a_missing_key_is_3_and_names_what_is_near(run: Run) -> None:
    run("set", "plan", "1")
    code, out, err = run("get", "plam")
    assert (code, out) == (3, "")
    assert "Near it: plan." in err
    assert run("exists", "plan")[0] == 0
    assert run("exists", "other")[0] == 3
    assert run("delete", "other")[0] == 3


def test_a_lost_race_is_4(run: Run) -> None:
    run("set", "k", "1")
    assert run("set", "k", "2", "--if-version", "0")[0] == 4
    assert run("delete", "k", "--if-version", "9")[0] == 4


def test_wrong_usage_is_2_and_suggests(run: Run) -> None:
    code, _, err = run("gett", "k")
    assert code == 2
    assert "did you mean 'get'" in err
    assert run("set", "k", "1", "--ttl", "soon")[0] == 2
    assert run("set", "k", "1", "--ttl", "0s")[0] == 2


def test_an_unreachable_server_is_7(run: Run) -> None:
    assert run("get", "k", "--url", "http://127.0.0.1:1", "--timeout", "0.3")[0] == 7


def test_durations_have_units(run: Run) -> None:
    run("set", "k", "1", "--ttl", "2h", "--sliding")
    entry = json.loads(run("get", "k", "--json")[1])
    assert (entry["ttl"], entry["sliding"]) == (7200, True)


def test_keys_are_listed_in_order(run: Run) -> None:
    for key in ("b", "a:2", "a:1"):
        run("set", key, "1")
    assert run("list")[1] == "a:1\na:2\nb\n"
    assert run("list", "a:", "--values")[1] == "a:1\t1\na:2\t1\n"
    lines = [json.loads(line) for line in run("list", "--json")[1].splitlines()]
    assert [line["key"] for line in lines] == ["a:1", "a:2", "b"]


def test_namespaces_are_apart(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run("set", "k", "1", "-n", "alice")
    assert run("get", "k")[0] == 3
    monkeypatch.setenv("BOTWIRE_NAMESPACE", "alice")
    assert run("get", "k")[1] == "1\n"


def test_every_command_speaks_json(run: Run) -> None:
    for command in (("set", "k", "1"), ("get", "k"), ("exists", "k"), ("usage",), ("doctor",)):
        assert isinstance(json.loads(run(*command, "--json")[1]), dict), command
    code, _, err = run("get", "none", "--json")
    assert (code, json.loads(err)["code"]) == (3, "BW-404-key")
    assert json.loads(run("delete", "k", "--json")[1])["deleted"] is True


AWKWARD = {
    "half a pair": "\ud800x",
    "huge": 10**5000,
    "emoji": "😀",
    "deep": [["é", {"\ud800": 1}]],
}


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "ascii"])
@pytest.mark.parametrize("key", AWKWARD)
def test_any_value_is_printed_or_it_is_said_how(encoding: str, key: str, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/memory.db"
    with Memory("default", url=url) as memory:
        memory.set(key, AWKWARD[key])

    def printed(*options: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "botwire.cli", "get", key, "--url", url, *options]
        environment = os.environ | {"PYTHONIOENCODING": encoding}
        return subprocess.run(
            command, env=environment, capture_output=True, encoding=encoding, check=False
        )

    asked = printed("--json")
    assert (asked.returncode, asked.stderr) == (0, "")
    assert members(asked.stdout)["key"] == f'"{key}"'
    assert decode(members(asked.stdout)["value"]) == AWKWARD[key]
    plain = printed()
    if plain.returncode:
        assert "With --json they are printed as escapes." in plain.stderr
        assert "Traceback" not in plain.stderr
    else:
        value = plain.stdout.removesuffix("\n")
        assert (value if isinstance(AWKWARD[key], str) else decode(value)) == AWKWARD[key]


def test_a_lost_race_is_told_with_the_current_value_as_json(run: Run) -> None:
    run("set", "k", '{"a": 1}')
    err = run("set", "k", "2", "--if-version", "9", "--json")[2]
    assert json.loads(err)["current_value"] == {"a": 1}


def test_input_that_is_no_text_is_said_to_be_none(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xff\xfe"), encoding="utf-8"))
    code, _, err = run("set", "k", "-")
    assert (code, "cannot read '-'" in err) == (2, True)


@pytest.mark.parametrize("name", ["a%20b/memory.db", "a#b.db", "a?b.db"])
def test_doctor_looks_where_a_memory_with_that_address_is(
    run: Run, tmp_path: Path, name: str
) -> None:
    url = f"sqlite:///{tmp_path}/{name}"
    run("set", "k", "1", "--url", url)
    assert "1 keys" in run("doctor", "--url", url)[1]


def test_usage_tells_what_there_is(run: Run) -> None:
    run("set", "k", "1")
    out = run("usage")[1]
    assert "keys          1" in out
    assert "writes today  1" in out


def test_doctor_says_where_memory_is_and_changes_nothing(run: Run, tmp_path: Path) -> None:
    code, out, _ = run("doctor")
    assert code == 0
    assert "does not exist yet" in out
    assert not (tmp_path / "memory.db").exists()
    run("set", "k", "1")
    assert "1 keys" in run("doctor")[1]
    code, out, err = run("doctor", "--url", "http://127.0.0.1:1", "--timeout", "0.3")
    assert (code, "does not answer" in out) == (7, True)
    assert "Connection refused" in err
    (tmp_path / "text.txt").write_text("this is no database, but longer than a header of one\n" * 9)
    assert run("doctor", "--url", f"sqlite:///{tmp_path / 'text.txt'}")[0] == 7


def test_api_keys_are_made_listed_and_revoked(run: Run, tmp_path: Path) -> None:
    file = str(tmp_path / "keys.json")
    made = json.loads(run("keys", "create", "--api-keys", file, "--prefix", "a:", "--json")[1])
    assert made["key"].startswith("bw_")
    listed = run("keys", "list", "--api-keys", file)[1]
    assert made["id"] in listed
    assert "namespaces a:*" in listed
    assert made["key"] not in listed
    assert run("keys", "revoke", made["id"], "--api-keys", file)[0] == 0
    assert run("keys", "list", "--api-keys", file)[1] == ""
    assert run("keys", "revoke", "none", "--api-keys", file)[0] == 3


def test_serving_the_world_without_keys_is_refused(run: Run) -> None:
    code, _, err = run("serve", "--host", "0.0.0.0")
    assert code == 2
    assert "--open" in err


def test_the_installed_command_works_and_loads_little() -> None:
    command = [sys.executable, "-X", "importtime", "-m", "botwire.cli", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "botwire serve" in done.stdout
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "argparse" in loaded
    assert not loaded & {"httpx", "asyncio", "sqlite3", "fastapi"}


@pytest.mark.parametrize(
    "arguments",
    [
        ("{}", "get", "k"),
        ("usage", "{}"),
        ("serve", "--port", "{}"),
        ("copy", "https://bots.example/memory", "b.db", "{}"),
    ],
    ids=" ".join,
)
def test_an_address_in_the_wrong_place_is_named_without_its_password(
    run: Run, arguments: tuple[str, ...]
) -> None:
    code, out, said = run(*(part.format("postgresql://me:s3/cr@t@db/x") for part in arguments))
    assert (code, out) == (2, "")
    assert "postgresql://me:***@db/x" in said
    assert "s3/cr" not in said
