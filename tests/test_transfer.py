"""Copies, exports and backups: everything arrives, exactly, and what was broken off goes on."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from botwire import Memory
from botwire.cli import main
from botwire.errors import Conflict, InvalidRequest
from botwire.operations import parse
from botwire.transfer import backup, copy, export_lines, import_lines
from botwire.transfer import homes as transfer_homes
from botwire.transfer.homes import Home, open_home

KINDS = ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres), "server"]


@pytest.fixture
def new_url(tmp_path: Path, request: pytest.FixtureRequest) -> Any:
    """Makes the address of a home of a kind. A server is shared: name what is used."""

    def make(kind: str) -> str:
        if kind == "postgres":
            return request.getfixturevalue("botwire_postgres").database()
        if kind == "server":
            return request.getfixturevalue("shared_server").url
        return f"sqlite:///{tmp_path / uuid4().hex}.db"

    return make


@contextmanager
def homes(*urls: str) -> Iterator[list[Home]]:
    with ExitStack() as stack:
        opened = [open_home(url) for url in urls]
        for home in opened:
            stack.callback(home.close)
        yield opened


def copied(source: str, target: str, names: list[str], **options: Any) -> list[Any]:
    with homes(source, target) as (here, there):
        return list(copy(here, there, names, **options))


def fill(memory: Memory) -> None:
    """One of everything."""
    memory.set("text", 'NUL \0, half a pair \ud800, emoji 😀 and "quotes" \\ done')
    memory.set("numbers", [1, 1.5, -0.0, 10**30, 1e300])
    memory.set("null", None)
    memory.set("object", {"b": 1, "a": {"deep": [{}]}})
    for number in range(50):
        memory.append("list", {"turn": number, "text": "x" * 200})
    memory.set_many({f"many:{number:04}": number for number in range(2100)})
    memory.set("session", "s", ttl=3600)
    memory.set("window", [1], ttl=7200, sliding=True)
    memory.set("gone", 1)
    memory.delete("gone")
    memory.set("../odd\nkey é", True)
    memory.set("short", 1, ttl=0.001)


def facts(url: str, name: str, *, exact: bool) -> list[Any]:
    with Memory(name, url=url) as memory:
        entries = list(memory.entries())
    return [
        (e.key, json.dumps(e.value), e.sliding, e.expires_in is None)
        + ((e.version, e.created_at, e.updated_at, e.ttl) if exact else ())
        for e in entries
    ]


@pytest.mark.parametrize("target", KINDS)
@pytest.mark.parametrize("source", KINDS)
def test_everything_arrives(source: str, target: str, new_url: Any) -> None:
    here, there, name = new_url(source), new_url(target), f"copy {uuid4()}"
    if here == there:
        pytest.skip("declared: a server is not copied onto itself")
    with Memory(name, url=here) as memory:
        fill(memory)
        version = memory.usage().version
    (done,) = copied(here, there, [name])
    assert (done.namespace, done.written, done.removed) == (name, 2108, 0)
    assert (done.entries, done.expiring, done.exact) == (2106, 2, target != "server")
    assert facts(there, name, exact=done.exact) == facts(here, name, exact=done.exact)
    with Memory(name, url=there) as memory:
        assert memory.usage().entries == 2108
        assert memory.tail("list", 1)[0]["turn"] == 49
        assert 3000 < (memory.ttl("session") or 0) <= 3600
        memory.append("list", "more")
        assert len(memory.get("list")) == 51
        if done.exact:
            assert memory.get("list", []) != []
            assert memory.set("new", 1) == version + 2


@pytest.mark.parametrize("target", KINDS)
def test_a_second_copy_finds_everything_there(target: str, new_url: Any) -> None:
    here, there, name = new_url("sqlite"), new_url(target), f"twice {uuid4()}"
    with Memory(name, url=here) as memory:
        fill(memory)
    first = copied(here, there, [name])
    second = copied(here, there, [name])
    assert [(done.written, done.removed) for done in second] == [(0, 0)]
    assert first[0].checksum == second[0].checksum


@pytest.mark.parametrize("target", KINDS)
def test_a_copy_that_was_broken_off_goes_on(target: str, new_url: Any) -> None:
    here, there, name = new_url("sqlite"), new_url(target), f"broken {uuid4()}"
    with Memory(name, url=here) as memory:
        memory.set_many({f"k{number:05}": "x" * 50 for number in range(3000)})

    def stop(_: str, entries: int) -> None:
        if entries == 1700:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copied(here, there, [name], note=stop)
    (done,) = copied(here, there, [name])
    assert 0 < done.written < 3000
    assert done.entries == 3000


@pytest.mark.parametrize("target", KINDS)
def test_a_mirror_follows_what_changed(target: str, new_url: Any) -> None:
    here, there, name = new_url("sqlite"), new_url(target), f"mirror {uuid4()}"
    with Memory(name, url=here) as memory:
        memory.set_many({"a": 1, "b": 2, "c": 3, "d": 4})
        copied(here, there, [name])
        memory.set("b", 20)
        memory.delete("c")
        memory.set("e", 5)
        memory.touch("d", 1000)
    with pytest.raises(Conflict, match=r"not the same in .*; nothing was overwritten"):
        copied(here, there, [name])
    (done,) = copied(here, there, [name], mirror=True)
    assert (done.written, done.removed) == (3, 1)
    with Memory(name, url=there) as memory:
        assert dict(memory.items()) == {"a": 1, "b": 20, "d": 4, "e": 5}
        assert 900 < (memory.ttl("d") or 0) <= 1000


def test_a_home_that_went_its_own_way_is_not_overwritten(new_url: Any) -> None:
    here, there = new_url("sqlite"), new_url("sqlite")
    with Memory("a", url=here) as memory:
        memory.set("k", "old")
    copied(here, there, [])
    with Memory("a", url=there) as memory:
        memory.set("k", "newer")
        memory.set("own", 1)
    with pytest.raises(Conflict):
        copied(here, there, [])
    (done,) = copied(here, there, [], mirror=True)
    assert not done.exact
    with Memory("a", url=there) as memory:
        assert dict(memory.items()) == {"k": "old"}
        assert memory.set("k", 1) > 4


def test_a_source_that_changes_meanwhile_is_noticed(new_url: Any) -> None:
    here, there = new_url("sqlite"), new_url("sqlite")
    with Memory("a", url=here) as memory:
        memory.set_many({f"k{number}": 1 for number in range(10)})

        def change(_: str, entries: int) -> None:
            memory.set("k0", entries)

        with pytest.raises(Conflict, match="somebody changed one of them meanwhile"):
            copied(here, there, [], note=change)
    assert copied(here, there, [], mirror=True)[0].entries == 10


def test_all_namespaces_are_copied_if_none_is_named(
    new_url: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer_homes, "NAMES", 7)
    here, there = new_url("sqlite"), new_url("sqlite")
    names = sorted(f"user {number}" for number in range(40))
    with Memory(names[0], url=here) as memory:
        for name in names:
            memory.namespaced(name).set("k", name)
    assert [done.namespace for done in copied(here, there, [])] == names


def test_a_server_does_not_tell_its_namespaces(new_url: Any) -> None:
    with pytest.raises(InvalidRequest, match="does not tell which namespaces"):
        copied(new_url("server"), new_url("sqlite"), [])


# -- JSON Lines ------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", KINDS)
def test_an_export_is_imported_whole(target: str, new_url: Any) -> None:
    here, there, name = new_url("sqlite"), new_url(target), f"lines {uuid4()}"
    with Memory(name, url=here) as memory:
        fill(memory)
    with homes(here, there) as (source, goal):
        lines = list(export_lines(source))
        assert list(import_lines(lines, goal)) == [(name, 2108)]
        exact = goal.restores
    assert facts(there, name, exact=exact) == facts(here, name, exact=exact)
    assert all(json.loads(line)["namespace"] == name for line in lines)


def test_an_import_can_be_repeated_but_overwrites_nothing_newer(new_url: Any) -> None:
    here, there = new_url("sqlite"), new_url("sqlite")
    with Memory("a", url=here) as memory:
        memory.set("k", "exported")
    with homes(here, there) as (source, goal):
        lines = list(export_lines(source))
        list(import_lines(lines, goal))
        list(import_lines(lines, goal))
        with Memory("a", url=there) as memory:
            memory.set("k", "newer")
            with pytest.raises(Conflict, match="newer than the one to be put back"):
                list(import_lines(lines, goal))
            assert memory.get("k") == "newer"
            list(import_lines(lines, goal, overwrite=True))
            assert memory.get("k") == "exported"


DAMAGES: dict[str, tuple[Any, str]] = {
    "cut off": (lambda lines: lines[:-1], "have no end: the file was cut off"),
    "an entry is missing": (lambda lines: lines[1:], "count or checksum of 'a' differ"),
    "an entry twice": (lambda lines: [*lines[:-1], lines[0], lines[-1]], "count or checksum"),
    "other value": (lambda lines: [lines[0].replace("one", "two"), *lines[1:]], "checksum"),
    "half a line": (lambda lines: [lines[0][:-5], *lines[1:]], "line 1 is no JSON object"),
    "other field": (lambda lines: [lines[0].replace('"value"', '"worth"')], "line 1: the field"),
    "a list": (lambda _: ["[]"], "line 1 is no JSON object"),
    "nothing": (lambda _: ["{}"], "line 1: the field 'namespace' is missing"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_noticed(damage: str, new_url: Any) -> None:
    spoil, message = DAMAGES[damage]
    here, there = new_url("sqlite"), new_url("sqlite")
    with Memory("a", url=here) as memory:
        memory.set_many({"k": "one", "l": 2})
    with homes(here, there) as (source, goal):
        lines = spoil(list(export_lines(source)))
        with pytest.raises(InvalidRequest, match=message):
            list(import_lines(lines, goal))


WRONG_FIELDS: dict[str, Any] = {
    "version": ["x", -5, 0, 2**63, 1.5, None, True],
    "created_at": ["x", None, 1e300, True],
    "updated_at": ["x", None, -1e300],
    "key": ["", "a\0b", "k" * 600, "\ud800", 1],
    "ttl": ["x", -5, 1e300, 10],
    "expires_at": ["x", 1e300, 2e9],
    "sliding": [1, "x", True],
}


@pytest.mark.parametrize(
    ("field", "value"), [(field, value) for field in WRONG_FIELDS for value in WRONG_FIELDS[field]]
)
def test_a_field_that_no_export_writes_is_refused_with_its_line(
    field: str, value: Any, new_url: Any
) -> None:
    there = new_url("sqlite")
    line = {
        "namespace": "a",
        "key": "k",
        "value": 1,
        "version": 1,
        "created_at": 1,
        "updated_at": 1,
    }
    with homes(there) as (goal,), pytest.raises(InvalidRequest, match="line 2: "):
        list(import_lines(["", json.dumps(line | {field: value})], goal))
    with Memory("a", url=there) as memory:
        assert list(memory.entries()) == []
        assert memory.set("k", 1) == 1


@pytest.mark.parametrize(
    "end", [{"version": "x"}, {"version": 2**63}, {"version": None}, {"entries": None}, {}]
)
def test_an_end_that_no_export_writes_is_refused_with_its_line(
    end: dict[str, Any], new_url: Any
) -> None:
    here, there = new_url("sqlite"), new_url("sqlite")
    with Memory("a", url=here) as memory:
        memory.set("k", 1)
    with homes(here, there) as (source, goal):
        line, last = export_lines(source)
        found = json.loads(last) | end if end else {"namespace": "a", "sha256": "x"}
        with pytest.raises(InvalidRequest, match="line 2: "):
            list(import_lines([line, json.dumps(found)], goal))


def test_values_with_line_breaks_between_their_parts_are_exported_on_one_line(
    tmp_path: Path, new_url: Any
) -> None:
    here, there = new_url("sqlite"), new_url("sqlite")
    with Memory("a", url=here) as memory:
        pretty = '{\n  "plan": [\r\n1,\t2],\r "text": "a\\nb"\n}'
        memory.run(parse("set", f'{{"namespace":"a","key":"k","value":{pretty}}}'))
        memory.run(parse("append", '{"namespace":"a","key":"list","items":[[\n1]]}'))
        memory.append("list", *["x" * 3000] * 3)
        memory.append("list", 2)
    lines = tmp_path / "lines.jsonl"
    assert main(["export", "--url", here, str(lines)]) == 0
    assert main(["import", "--url", there, str(lines)]) == 0
    with Memory("a", url=here) as source, Memory("a", url=there) as target:
        assert dict(target.items()) == dict(source.items())
        assert target.get("k") == {"plan": [1, 2], "text": "a\nb"}


def test_an_import_takes_what_expired_meanwhile_for_missing(new_url: Any) -> None:
    here = new_url("sqlite")
    with Memory("a", url=here) as memory, homes(here) as (home,):
        memory.set("k", "exported")
        lines = list(export_lines(home))
        memory.set("k", "for a moment", ttl=0.001)
        while memory.exists("k"):
            time.sleep(0.001)
        list(import_lines(lines, home))
        assert memory.get("k") == "exported"
        assert memory.set("k", "next") > 2
        assert memory.usage().entries == 1


def test_large_values_are_imported_into_a_server_in_parts(new_url: Any) -> None:
    here, there, name = new_url("sqlite"), new_url("server"), f"large {uuid4()}"
    with Memory(name, url=here) as memory:
        for number in range(36):
            memory.set(f"k{number}", "x" * 1_000_000)
    with homes(here, there) as (source, goal):
        assert list(import_lines(export_lines(source), goal)) == [(name, 36)]
    with Memory(name, url=there) as memory:
        memory.clear()


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda part: st.lists(part, max_size=3) | st.dictionaries(st.text(), part, max_size=3),
    max_leaves=8,
)


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    entries=st.dictionaries(
        st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1, max_size=9),
        json_values,
        max_size=8,
    )
)
def test_any_entries_survive_export_and_import(entries: dict[str, Any], new_url: Any) -> None:
    here, there = new_url("sqlite"), new_url("sqlite")
    with Memory("a", url=here) as memory:
        memory.set_many(entries)
    with homes(here, there) as (source, goal):
        list(import_lines(list(export_lines(source)), goal))
    with Memory("a", url=there) as memory:
        assert json.dumps(dict(memory.items())) == json.dumps(
            {key: entries[key] for key in sorted(entries)}
        )


# -- backup ----------------------------------------------------------------------------------------


WRITER = """
import sys
from botwire import Memory
memory = Memory("a", url=sys.argv[1])
number = 0
while True:
    with memory.batch() as batch:
        batch.set("first", number)
        batch.append("list", number)
        batch.set("second", number)
    number += 1
    print(number, flush=True)
"""


def test_a_backup_is_one_moment_of_a_file_that_others_write(tmp_path: Path, new_url: Any) -> None:
    url = new_url("sqlite")
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, url], stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    try:
        writer.stdout.readline()
        numbers = []
        for turn in range(3):
            file = tmp_path / f"backup {turn}.db"
            assert backup(url, file) > 0
            with Memory("a", url=f"sqlite:///{file}") as memory:
                found = memory.get_many(["first", "second", "list"])
                assert found["first"] == found["second"] == found["list"][-1]
                assert found["list"] == list(range(found["first"] + 1))
                numbers.append(found["first"])
            assert file.stat().st_mode & 0o777 == 0o600
            for _ in range(3):
                writer.stdout.readline()
        assert numbers == sorted(set(numbers))
    finally:
        writer.kill()
        writer.wait()
        writer.stdout.close()
    assert list(tmp_path.glob("*.part*")) == []


def test_a_backup_overwrites_nothing_and_wants_a_file(tmp_path: Path, new_url: Any) -> None:
    url, file = new_url("sqlite"), tmp_path / "backup.db"
    with pytest.raises(InvalidRequest, match="there is no file"):
        backup(url, file)
    with Memory("a", url=url) as memory:
        memory.set("k", 1)
    backup(url, file)
    with pytest.raises(InvalidRequest, match="exists"):
        backup(url, file)
    with pytest.raises(InvalidRequest, match="is no SQLite file"):
        backup("http://127.0.0.1:9", tmp_path / "other.db")


def test_a_backup_that_cannot_be_made_says_why_and_spoils_no_other(
    tmp_path: Path, new_url: Any
) -> None:
    url = new_url("sqlite")
    with Memory("a", url=url) as memory:
        memory.set("k", 1)
    with pytest.raises(InvalidRequest, match="cannot be made: No such file or directory"):
        backup(url, tmp_path / "missing" / "backup.db")
    others = tmp_path / "backup.db.part"
    others.write_bytes(b"another backup is writing here")
    with pytest.raises(InvalidRequest, match="another backup") as refused:
        backup(url, tmp_path / "backup.db")
    assert str(others) in str(refused.value)
    assert others.read_bytes() == b"another backup is writing here"


# -- the command line ------------------------------------------------------------------------------


def test_an_export_that_fails_leaves_the_one_before_as_it_was(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here, lines = f"sqlite:///{tmp_path}/a.db", tmp_path / "lines.jsonl"
    with Memory("a", url=here) as memory:
        memory.set("k", 1)
    assert main(["export", "--url", here, str(lines)]) == 0
    before = lines.read_text()
    (tmp_path / "spoilt.db").write_text("no memory " * 99)
    assert main(["export", "--url", f"sqlite:///{tmp_path}/spoilt.db", str(lines)]) == 7
    assert "unavailable" in capsys.readouterr().err
    assert lines.read_text() == before
    assert sorted(path.name for path in tmp_path.glob("lines*")) == ["lines.jsonl"]
    assert main(["import", "--url", f"sqlite:///{tmp_path}/spoilt.db", str(lines)]) == 7
    assert main(["export", "--url", here, str(tmp_path / "missing" / "lines.jsonl")]) == 2
    assert main(["export", "--url", here, "/dev/null"]) == 0
    assert not Path("/dev/null").is_file()


@pytest.mark.parametrize("command", ["export", "import", "backup"])
def test_an_address_where_a_file_belongs_is_refused_without_its_password(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = "postgresql://me:secret@127.0.0.1:9/agents"
    assert main([command, "--url", f"sqlite:///{tmp_path}/a.db", wrong]) == 2
    said = capsys.readouterr().err
    assert "postgresql://me:***@127.0.0.1:9/agents is the address of a memory" in said
    assert "--url" in said
    assert list(tmp_path.iterdir()) == []


def test_the_commands_do_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    here, there, third = (f"sqlite:///{tmp_path}/{name}.db" for name in "abc")
    with Memory("ada", url=here) as memory:
        memory.set("k", 1)
        memory.set("s", 1, ttl=100)
    assert main(["copy", here, there]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("ada: 1 entries (sha256 ")
    assert out.endswith(" and 1 that expire; 2 written, 0 removed\n")
    assert err == "1 namespaces are the same in both, by count and checksum\n"
    assert main(["copy", here, there, "--json", "-n", "ada"]) == 0
    assert json.loads(capsys.readouterr().out)["written"] == 0
    lines = tmp_path / "lines.jsonl"
    assert main(["export", "--url", there, str(lines)]) == 0
    assert lines.stat().st_mode & 0o777 == 0o600
    assert main(["import", "--url", third, str(lines), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"entries": 2}
    assert main(["backup", "--url", third, str(tmp_path / "d.db")]) == 0
    with Memory("ada", url=f"sqlite:///{tmp_path}/d.db") as memory:
        assert memory.get("k") == 1
    assert main(["copy", here, here]) == 2
    assert main(["import", "--url", third, str(tmp_path / "missing")]) == 2
    memory = Memory("ada", url=third)
    memory.set("k", 2)
    memory.close()
    assert main(["copy", here, third]) == 4
    assert "--mirror" in capsys.readouterr().err
