from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.conf import settings
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from drf_spectacular.renderers import OpenApiYamlRenderer
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from config.problems import CODES, TITLES
from config.schema import Generator, InternalGenerator
from operators.api.serializers import OperatorInput
from tests.config.peers import InternalClient, connector, router


@dataclass(frozen=True)
class Described:
    """One of the two descriptions, and what it must agree with."""

    file: Path
    urlconf: str
    security: str
    operations: int
    examples: int
    document: dict[str, Any]


DOCS = settings.BASE_DIR / "docs"
PARAMETER = re.compile(r"<uuid:(\w+)_id>")
METHODS = ("get", "post", "put", "patch", "delete")


@cache
def admin() -> Described:
    made = Generator().get_schema(public=True)
    return Described(DOCS / "openapi.yaml", "config.urls", "bearer", 36, 100, made)


@cache
def internal() -> Described:
    made = InternalGenerator().get_schema(public=True)
    return Described(DOCS / "internal-openapi.yaml", "config.internal_urls", "mutualTLS", 5, 20, made)


@pytest.fixture(params=[admin, internal], ids=["admin", "internal"])
def described(request: pytest.FixtureRequest) -> Described:
    found: Described = request.param()
    return found


@pytest.fixture
def document() -> dict[str, Any]:
    return admin().document


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                yield path, method, item[method]


def test_its_file_is_what_the_code_says(described: Described) -> None:
    rendered = OpenApiYamlRenderer().render(described.document)  # type: ignore[no-untyped-call]
    assert described.file.read_bytes() == rendered, "run: make openapi"


def test_it_is_valid_openapi_3_1(described: Described) -> None:
    assert described.document["openapi"].startswith("3.1.")
    OpenAPIV31SpecValidator(json.loads(json.dumps(described.document))).validate()
    text = json.dumps(described.document)
    names = set(re.findall(r'"#/components/schemas/(\w+)"', text))
    assert names <= described.document["components"]["schemas"].keys()


def test_it_has_every_address_and_method_that_its_listener_answers(described: Described) -> None:
    served = {
        ("/" + PARAMETER.sub(r"{\1Id}", route), method)
        for route, view in routes(get_resolver(described.urlconf).url_patterns)
        if route.startswith(("v1/admin/", "v1/internal/")) and route != "v1/internal/schema"
        for method in METHODS
        if hasattr(view.cls, method)
    }
    assert {(path, method) for path, method, _ in operations(described.document)} == served


def routes(patterns: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for pattern in patterns:
        route = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from routes(pattern.url_patterns, route)
        elif isinstance(pattern, URLPattern):
            yield route, pattern.callback


def test_the_two_share_no_address() -> None:
    assert admin().document["paths"].keys().isdisjoint(internal().document["paths"])
    assert "internal" not in json.dumps(admin().document)
    assert "X-Admin-Id" not in json.dumps(internal().document)


def test_it_names_groups_and_guards_every_operation(described: Described) -> None:
    document = described.document
    names = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(names) == len(set(names)) == described.operations
    groups = {group["name"] for group in document["tags"]}
    for path, method, operation in operations(document):
        assert len(operation["tags"]) == 1, (path, method)
        assert set(operation["tags"]) <= groups, (path, method)
        assert operation["security"] == [{described.security: []}], (path, method)
        assert operation["summary"], (path, method)
        assert operation["description"], (path, method)
        assert {"401", "403", "503"} <= set(operation["responses"]), (path, method)


def test_its_examples_keep_its_own_rules(described: Described) -> None:
    document = described.document
    shown = 0
    for path, method, operation in operations(document):
        contents = [(status, answer.get("content", {})) for status, answer in operation["responses"].items()]
        if "requestBody" in operation:
            contents.append(("body", operation["requestBody"]["content"]))
        for status, content in contents:
            for media_type, media in content.items():
                assert media.get("examples"), (path, method, status)
                validator = OAS31Validator({**media["schema"], "components": document["components"]})
                for name, example in media["examples"].items():
                    problems = [error.message for error in validator.iter_errors(example["value"])]
                    assert not problems, (path, method, status, name)
                    if status.isdigit() and int(status) >= 400:
                        assert media_type == "application/problem+json"
                        assert example["value"]["status"] == int(status)
                    shown += 1
    assert shown > described.examples


def test_it_gives_out_a_password_at_one_address_alone() -> None:
    for described, allowed in ((admin(), set()), (internal(), {"BindCredentials"})):
        schemas = described.document["components"]["schemas"]
        found = {name for name, schema in schemas.items() if "password" in schema.get("properties", {})}
        assert {name for name in found if not name.endswith("Request")} == allowed
    text = json.dumps(internal().document["paths"])
    assert text.count('"#/components/schemas/BindCredentials"') == 1


def test_it_asks_for_what_the_service_asks_for(document: dict[str, Any]) -> None:
    schema = document["components"]["schemas"]["OperatorRequest"]
    serializer = OperatorInput()
    assert set(schema["properties"]) == set(serializer.fields)
    assert set(schema["required"]) == {name for name, field in serializer.fields.items() if field.required}
    assert schema["additionalProperties"] is False


def test_every_code_has_a_title() -> None:
    assert set(CODES.values()) <= set(TITLES)


@pytest.mark.parametrize(
    ("address", "accept", "content_type"),
    [
        ("/v1/schema", "", "application/vnd.oai.openapi"),
        ("/v1/schema", "application/yaml", "application/yaml"),
        ("/v1/schema", "application/json", "application/json"),
        ("/v1/schema", "application/vnd.oai.openapi+json", "application/vnd.oai.openapi+json"),
        ("/v1/schema?format=json", "", "application/vnd.oai.openapi+json"),
        ("/v1/schema?format=yaml", "", "application/vnd.oai.openapi"),
    ],
)
def test_it_is_served_as_yaml_and_json(document: dict[str, Any], address: str, accept: str, content_type: str) -> None:
    headers = {"Accept": accept} if accept else {}
    answer = Client().get(address, headers=headers)
    assert answer.status_code == 200
    assert answer["Content-Type"].split(";")[0] == content_type
    assert yaml.safe_load(answer.content)["paths"].keys() == document["paths"].keys()


@pytest.mark.django_db
def test_it_shows_the_internal_one_to_every_caller_and_to_nobody_else() -> None:
    address = "/v1/internal/schema"
    for client in (connector(), router()):
        answer = client.get(address, {"format": "json"})
        assert answer.status_code == 200
        assert answer.json()["paths"].keys() == internal().document["paths"].keys()
    assert InternalClient().get(address).status_code == 401
    assert Client().get(address).status_code == 404


def test_its_viewer_loads_nothing_from_outside_and_runs_no_inline_script() -> None:
    page = Client().get("/v1/docs")
    policy = page["Content-Security-Policy"]
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy.split("script-src")[1].split(";")[0]
    text = page.content.decode()
    assert "//" not in text.replace("<!DOCTYPE html>", "")
    assert text.count("<script") == text.count("<script src=") == 2
    assert "style=" not in text
    assert "<style" not in text

    script = Client().get("/v1/docs.js")
    assert script["Content-Type"] == "text/javascript; charset=utf-8"
    assert b'url: "/v1/schema"' in script.content
