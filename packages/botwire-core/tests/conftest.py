"""Lets the tests here import the kits beside them and those that all tracing tests share."""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[3] / "tests")]
