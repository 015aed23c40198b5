"""What every test shares: the fixtures of `botwire.testing`, and frameworks that call nobody."""

import os

pytest_plugins = ["botwire.testing"]

# Before any framework is imported; an outer setting stands.
for name, value in {
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
