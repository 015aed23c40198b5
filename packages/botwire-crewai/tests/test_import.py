"""crewai costs seconds and 175 MB: nobody pays before it is used."""

import subprocess
import sys

import botwire_crewai

ASKS = """
import sys
import botwire, botwire.memory, botwire_crewai
dir(botwire_crewai)
assert "crewai" not in sys.modules, "crewai was imported"
assert "numpy" not in sys.modules, "numpy was imported"
"""


def test_importing_the_adapter_does_not_import_crewai() -> None:
    done = subprocess.run([sys.executable, "-c", ASKS], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_every_name_it_exports_exists() -> None:
    for name in botwire_crewai.__all__:
        assert getattr(botwire_crewai, name).__name__ == name
    assert set(botwire_crewai.__all__) <= set(dir(botwire_crewai))


def test_an_unknown_name_is_an_attribute_error() -> None:
    assert not hasattr(botwire_crewai, "nothing_like_it")
