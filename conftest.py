"""What every test shares: the fixtures of `botwire.testing`, and frameworks that call nobody."""

import os
from collections import Counter

import pytest

pytest_plugins = ["botwire.testing"]

# Before any framework is imported; an outer setting stands.
for name, value in {
    "AGENTOPS_LOGGING_TO_FILE": "False",
    "ANONYMIZED_TELEMETRY": "False",
    "CREWAI_DISABLE_TELEMETRY": "true",
    "CREWAI_TESTING": "true",
    "CREWAI_TRACING_ENABLED": "false",
    "HAYSTACK_TELEMETRY_ENABLED": "False",
    "LANGSMITH_TRACING": "false",
}.items():
    os.environ.setdefault(name, value)

for name in ("BOTWIRE_URL", "BOTWIRE_API_KEY", "BOTWIRE_NAMESPACE"):
    os.environ.pop(name, None)  # tests remember in places of their own only


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The last lines say which stores ran, and by how many tests: nothing is left out silently."""
    from botwire.testing.postgres import started  # pytest must be the first to import it

    reports = [*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")]
    ways = Counter(
        way
        for report in reports
        if report.when == "call"
        for name, way in report.user_properties
        if name == "way"
    )
    if not ways:
        return
    terminalreporter.section("stores")
    terminalreporter.line(", ".join(f"{way}: {ways[way]:,} tests" for way in sorted(ways)))
    if started:
        terminalreporter.line(f"PostgreSQL was {started[0]}")
    else:
        terminalreporter.line("PostgreSQL did NOT run", red=True)
        for report in terminalreporter.getreports("skipped"):
            if "no PostgreSQL is here" in str(report.longrepr):
                terminalreporter.line(str(report.longrepr[2]), red=True)
                break
