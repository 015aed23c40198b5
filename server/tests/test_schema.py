"""The server keeps to its OpenAPI document, whatever schemathesis makes up from it."""

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from botwire.testing import ServerProcess

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
QUICK = settings(
    max_examples=12,
    deadline=None,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.slow
def test_the_server_keeps_to_its_openapi_document(server: ServerProcess) -> None:
    schema = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    tried: set[str] = set()
    for found in schema.get_all_operations():
        operation = found.ok()
        tried.add(operation.label)

        @QUICK
        @given(case=operation.as_strategy())
        def keeps_to_it(case: schemathesis.Case) -> None:
            case.call_and_validate(checks=CHECKS)

        @QUICK
        @given(case=operation.as_strategy(generation_mode=schemathesis.GenerationMode.NEGATIVE))
        def refuses_what_does_not_fit(case: schemathesis.Case) -> None:
            case.call_and_validate(checks=[not_a_server_error])

        keeps_to_it()
        if operation.body or list(operation.iter_parameters()):
            refuses_what_does_not_fit()
    assert {"PUT /memory/{namespace}/{key}", "POST /v1/set", "GET /healthz"} <= tried
    assert server.process.poll() is None
    assert not [line for line in server.log if line.get("level") == "error"]
