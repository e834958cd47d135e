"""What the description says of a text, against the rules that the service itself applies to it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.core.exceptions import ValidationError

from config.patterns import FIELDS, PARAMETERS
from config.schema import Generator
from operators import validators
from operators.secrets import Secret

SAMPLES = (
    "", "+", "+4", "+4479", "+0479", "4479", "+1234567890123456", "04", "004", "0", "1234", "234", "EUR", "eur", "EURO",
    "acme", "a" * 15, "a" * 16, "é", "a\tb", " ", "a b", "x" * 64, "x" * 65, "+4479 ", "+4479\n", "234\n", "GB", "٢٣٤",
)  # fmt: skip
RULES: dict[str, Callable[[str], None]] = {
    "prefix": validators.validate_prefix,
    "mcc": validators.validate_mcc,
    "mnc": validators.validate_mnc,
    "systemType": validators.validate_system_type,
    "password": lambda text: validators.validate_password(Secret(text)),
}


def is_taken(rule: Callable[[str], None], text: str) -> bool:
    try:
        rule(text)
    except ValidationError:
        return False
    return True


def is_described(facts: Any, text: str) -> bool:
    """Judge as JSON Schema does: $ is the very end there."""
    pattern = re.sub(r"\$$", r"\\Z", facts.get("pattern", ""))
    return facts.get("minLength", 0) <= len(text) <= facts.get("maxLength", 10**6) and bool(re.search(pattern, text))


@pytest.mark.parametrize("field", RULES)
def test_it_describes_what_the_service_takes(field: str) -> None:
    taken = [text for text in SAMPLES if is_taken(RULES[field], text)]
    assert [text for text in SAMPLES if is_described(FIELDS[field], text)] == taken
    assert 0 < len(taken) < len(SAMPLES)


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    made: dict[str, Any] = Generator().get_schema(public=True)
    return made


def test_it_says_so_of_every_field_and_parameter_of_that_name(document: dict[str, Any]) -> None:
    schemas, seen = document["components"]["schemas"], set()
    for name, schema in schemas.items():
        for field in set(schema.get("properties", {})) & set(FIELDS):
            if name.endswith("Request"):
                assert set(FIELDS[field]) <= set(schema["properties"][field]), (name, field)
                seen.add(field)
    assert seen == set(FIELDS)


def test_it_says_which_parameters_may_be_empty_and_what_they_look_like(document: dict[str, Any]) -> None:
    seen = set()
    for path, item in document["paths"].items():
        for operation in item.values():
            for parameter in operation.get("parameters", ()):
                if parameter["in"] == "query":
                    assert parameter.get("allowEmptyValue", False) is not parameter.get("required", False), path
                    if parameter["name"] in PARAMETERS:
                        assert "pattern" in parameter["schema"], (path, parameter["name"])
                        seen.add(parameter["name"])
    assert seen == set(PARAMETERS)


def test_it_tells_the_limits_of_numbers(document: dict[str, Any], api: Any, db: None) -> None:
    """Each of these was refused without being described."""
    limits = document["components"]["schemas"]["TpsLimitRequest"]["properties"]["maxTps"]
    assert (limits["minimum"], limits["maximum"]) == (1, 2_147_483_647)
    parameters = document["paths"]["/v1/admin/routes/resolve"]["get"]["parameters"]
    (limit,) = [parameter["schema"] for parameter in parameters if parameter["name"] == "limit"]
    assert (limit["minimum"], limit["maximum"]) == (1, 200)
    for value in ("0", "201"):
        assert api.get("/v1/admin/routes/resolve", {"to": "+447911123456", "limit": value}).status_code == 400
