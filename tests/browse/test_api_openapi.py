"""The OpenAPI document: true of every answer, fuzzed; every route in it, every answer of a route told."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import schemathesis
import servers
from fastapi.routing import APIRoute
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import GenerationMode
from schemathesis.specs.openapi import checks

from tamiyo.api.app import ROUTERS
from tamiyo.api.settings import Limits

#: Requests of one operation that the document allows, and requests that it does not.
NUM_EXAMPLES = 10
CHECKED = [
    schemathesis.checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.negative_data_rejection,
    checks.missing_required_header,
    checks.unsupported_method,
    checks.allow_header_conformance,
]


@pytest.fixture(scope="module")
def fuzzed(library: Any) -> Iterator[httpx.Client]:
    """Give a client of a server that takes no jobs, and whose guards leave all else to the routes."""
    wide = Limits(
        reads_per_minute=10**7, writes_per_minute=10**7, max_body_bytes=1 << 24, max_target_bytes=1 << 20
    )
    with servers.browsing(library, num_jobs=0, limits=wide) as client:
        yield client


def test_every_route_of_the_api_is_in_the_document(client: httpx.Client) -> None:
    document = client.get("/api/v1/openapi.json").json()
    routes = [route for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)]
    shown = {(r.path_format, m.lower()) for r in routes if r.include_in_schema for m in r.methods}
    assert len(shown) > 15
    assert shown <= {(path, method) for path, methods in document["paths"].items() for method in methods}
    assert {r.path_format for r in routes if r.path_format.startswith("/api/")} <= document["paths"].keys()


def test_every_answer_and_parameter_of_a_route_is_documented(client: httpx.Client) -> None:
    document = client.get("/api/v1/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    names = set()
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            where = f"{method} {path}"
            assert operation["description"], where
            assert operation["operationId"] not in names, where
            names.add(operation["operationId"])
            assert {"429", "500", "503"} <= operation["responses"].keys(), where
            errors = [code for code in operation["responses"] if code >= "400"]
            for code in errors:
                content = operation["responses"][code]["content"]["application/json"]
                assert content["schema"]["$ref"].endswith("/ErrorEnvelope"), f"{where} {code}"
            for parameter in operation.get("parameters", ()):
                assert parameter.get("description") or parameter["schema"].get("description"), where
            assert operation.get("parameters", []) == [] or "422" in operation["responses"], where
            assert ("{" not in path) or "404" in operation["responses"], where


def test_every_field_of_an_answer_is_documented(client: httpx.Client) -> None:
    schemas = client.get("/api/v1/openapi.json").json()["components"]["schemas"]
    for name, schema in schemas.items():
        assert schema.get("description") or name.startswith("HTTPValidation"), name


@pytest.mark.slow
def test_the_document_is_true_of_what_a_fuzzer_asks(fuzzed: httpx.Client) -> None:
    schema = schemathesis.openapi.from_dict(fuzzed.get("/api/v1/openapi.json").json())
    operations = [result.ok() for result in schema.get_all_operations()]
    assert len(operations) > 15
    for operation in operations:
        takes_nothing = not operation.definition.raw.keys() & {"parameters", "requestBody"}
        for mode in (GenerationMode.POSITIVE,) if takes_nothing else GenerationMode:
            _fuzz(operation, mode, str(fuzzed.base_url))


def _fuzz(operation: Any, mode: GenerationMode, base_url: str) -> None:
    @seed(7)
    @settings(
        max_examples=NUM_EXAMPLES,
        deadline=None,
        database=None,
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(mode))
    def ask(case: Any) -> None:
        answer = case.call_and_validate(base_url=base_url, checks=CHECKED, timeout=30)
        is_malformed = answer.status_code == 422 and answer.json()["error"]["code"] == "invalid-request"
        assert not (mode is GenerationMode.POSITIVE and is_malformed), "what the document allows is read"

    ask()
