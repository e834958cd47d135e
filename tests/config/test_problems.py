from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client
from pytest_django.fixtures import Settings
from rest_framework.test import APIClient

from config import problems
from deploy.dev.postgres import Postgres
from operators import metrics
from operators.api.examples import PROBLEMS
from operators.models import Operator
from tests.factories import make_operator

OPERATORS = "/v1/admin/operators"
UNKNOWN = f"{OPERATORS}/3f2b8c1e-5d0a-4b7e-9a61-0c9e6f1d2a34"


def problem(answer: Any, *, status: int, code: str) -> dict[str, Any]:
    """Check what all problems have in common, and return the body."""
    assert answer.status_code == status, answer.content
    assert answer["Content-Type"] == "application/problem+json"
    assert answer["Cache-Control"] == "no-store"
    body: dict[str, Any] = json.loads(answer.content)
    assert (body["status"], body["code"]) == (status, code)
    assert body["type"] == f"urn:ops:problem:{code.lower().replace('_', '-')}"
    assert body["title"] == problems.TITLES[code]
    assert body["detail"]
    assert body["requestId"] == answer["X-Request-ID"]
    return body


@pytest.mark.parametrize(
    "path", ["/v1/", "/v1/nothing", "/v1/admin/", f"{OPERATORS}/", f"{OPERATORS}/not-a-uuid", f"{UNKNOWN}/test-bind"]
)
def test_it_answers_unknown_addresses(db: None, path: str) -> None:
    body = problem(Client().get(path), status=404, code="NOT_FOUND")
    assert body["instance"] == path


def test_it_answers_unknown_operators(db: None, api: APIClient) -> None:
    problem(api.get(UNKNOWN), status=404, code="NOT_FOUND")


@pytest.mark.parametrize("method", ["put", "patch", "delete", "trace"])
def test_it_answers_methods_that_an_address_does_not_take(db: None, api: APIClient, method: str) -> None:
    answer = api.generic(method.upper(), OPERATORS)
    problem(answer, status=405, code="METHOD_NOT_ALLOWED")
    assert answer["Allow"] == "GET, POST, HEAD, OPTIONS"


def test_it_answers_who_wants_something_else_than_json(db: None, api: APIClient) -> None:
    problem(api.get(OPERATORS, HTTP_ACCEPT="text/html"), status=406, code="NOT_ACCEPTABLE")


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "application/xml", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x",
     "application/json; charset=utf-16", "application/json;charset=latin-1", ""],
)  # fmt: skip
def test_it_answers_bodies_that_are_not_json(db: None, api: APIClient, content_type: str) -> None:
    answer = api.generic("POST", OPERATORS, '{"name": "x"}', content_type=content_type)
    problem(answer, status=415, code="UNSUPPORTED_MEDIA_TYPE")


def test_it_answers_bodies_that_are_too_large(db: None, api: APIClient, settings: Settings) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1024
    fits, exceeds = (f'{{"x": "{"y" * length}"}}' for length in (1015, 1016))
    assert len(fits) == 1024
    problem(api.generic("POST", OPERATORS, fits, "application/json"), status=400, code="INVALID_PAYLOAD")
    problem(api.generic("POST", OPERATORS, exceeds, "application/json"), status=413, code="PAYLOAD_TOO_LARGE")


def test_it_answers_bodies_without_a_length(db: None, api: APIClient) -> None:
    answer = api.generic("POST", f"{UNKNOWN}/suspend", HTTP_TRANSFER_ENCODING="chunked")
    problem(answer, status=411, code="LENGTH_REQUIRED")


def test_it_answers_a_host_that_is_not_ours(db: None, api: APIClient) -> None:
    problem(api.get(OPERATORS, HTTP_HOST="evil.example"), status=400, code="INVALID_PAYLOAD")


def test_it_names_who_has_the_values_already(db: None, api: APIClient) -> None:
    existing = make_operator()
    body = {
        "name": "Another",
        "host": existing.host.upper(),
        "systemId": existing.system_id,
        "tpsLimit": {"maxTps": 1},
        "password": "x",
    }
    answer = problem(api.post(OPERATORS, body), status=409, code="DUPLICATE_OPERATOR")
    assert answer["conflict"] == {
        "operatorId": str(existing.pk),
        "name": existing.name,
        "fields": ["host", "port", "systemId"],
    }


def test_it_hides_what_went_wrong_inside(db: None, api: APIClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object) -> None:
        raise RuntimeError("row of s3cr3t-8")

    monkeypatch.setattr(Operator.objects, "live", fail)
    api.raise_request_exception = False
    answer = api.get(OPERATORS)
    problem(answer, status=500, code="INTERNAL_ERROR")
    assert b"s3cr3t" not in answer.content


def test_it_says_when_the_database_is_away_and_when_to_come_back(api: APIClient, postgres_away: Postgres) -> None:
    before = metrics.pg_errors.labels("connect")._value.get()
    answers = [api.get(OPERATORS), api.get(UNKNOWN), api.patch(UNKNOWN, {"port": 1}, HTTP_IF_MATCH="*")]
    for answer in answers:
        problem(answer, status=503, code="DATABASE_UNAVAILABLE")
        assert answer["Retry-After"] == "5"
    assert metrics.pg_errors.labels("connect")._value.get() == before + 3


def test_it_flattens_nested_errors() -> None:
    nested = {
        "name": ["a", "b"],
        "tpsLimit": {"maxTps": ["c"], "non_field_errors": ["d"]},
        "contacts": {2: ["e"]},
        "non_field_errors": ["f"],
    }
    assert [(found.field, found.message) for found in problems.flatten(nested)] == [
        ("name", "a"),
        ("name", "b"),
        ("tpsLimit.maxTps", "c"),
        ("tpsLimit", "d"),
        ("contacts[2]", "e"),
        ("body", "f"),
    ]


@pytest.mark.parametrize("example", PROBLEMS.values(), ids=PROBLEMS)
def test_its_examples_are_what_it_answers(example: Any) -> None:
    assert example.title == problems.TITLES[example.code]


def test_it_leaves_the_console_its_pages(db: None) -> None:
    answer = Client().get("/nothing")
    assert answer.status_code == 404
    assert answer["Content-Type"].startswith("text/html")
