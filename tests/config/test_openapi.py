from __future__ import annotations

import json
import re
from collections.abc import Iterator
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
from config.schema import Generator
from operators.api.serializers import OperatorInput

FILE = settings.BASE_DIR / "docs" / "openapi.yaml"
PARAMETER = re.compile(r"<uuid:(\w+)_id>")
METHODS = ("get", "post", "put", "patch", "delete")


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    made: dict[str, Any] = Generator().get_schema(public=True)  # type: ignore[no-untyped-call]
    return made


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                yield path, method, item[method]


def test_its_file_is_what_the_code_says(document: dict[str, Any]) -> None:
    rendered = OpenApiYamlRenderer().render(document)  # type: ignore[no-untyped-call]
    assert FILE.read_bytes() == rendered, "run: make openapi"


def test_it_is_valid_openapi_3_1(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1.")
    OpenAPIV31SpecValidator(json.loads(json.dumps(document))).validate()


def test_it_has_every_address_and_method_that_the_service_answers(document: dict[str, Any]) -> None:
    described = {(path, method) for path, method, _ in operations(document)}
    served = {
        ("/" + PARAMETER.sub(r"{\1Id}", route), method)
        for route, view in routes(get_resolver().url_patterns)
        if route.startswith(("v1/admin/", "v1/internal/"))
        for method in METHODS
        if hasattr(view.cls, method)
    }
    assert described == served


def routes(patterns: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for pattern in patterns:
        route = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from routes(pattern.url_patterns, route)
        elif isinstance(pattern, URLPattern):
            yield route, pattern.callback


def test_it_names_groups_and_guards_every_operation(document: dict[str, Any]) -> None:
    names = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(names) == len(set(names)) == 38
    groups = {group["name"] for group in document["tags"]}
    for path, method, operation in operations(document):
        assert len(operation["tags"]) == 1, (path, method)
        assert set(operation["tags"]) <= groups, (path, method)
        assert operation["security"] == [{"bearer": []}], (path, method)
        assert operation["summary"], (path, method)
        assert operation["description"], (path, method)
        assert {"401", "403", "503"} <= set(operation["responses"]), (path, method)


def test_its_examples_keep_its_own_rules(document: dict[str, Any]) -> None:
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
    assert shown > 100


def test_it_never_gives_out_a_password(document: dict[str, Any]) -> None:
    for name, schema in document["components"]["schemas"].items():
        if not name.endswith("Request"):
            assert "password" not in schema.get("properties", {}), name


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
