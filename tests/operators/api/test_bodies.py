"""What POST, PATCH and PUT take, and how they refuse everything else."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from rest_framework.test import APIClient

from operators import metrics
from operators.models import Operator
from tests.factories import PASSWORD, make_operator
from tests.operators.api.cast import NOBODY, OPERATORS, SMALLEST, address, errors

pytestmark = pytest.mark.django_db


def with_value(path: str, value: object) -> dict[str, Any]:
    head, _, rest = path.partition(".")
    if rest:
        return {**SMALLEST, head: {**SMALLEST[head], rest: value}}
    return {**SMALLEST, head: value}


def test_it_fills_in_what_may_be_left_out(api: APIClient) -> None:
    body = api.post(OPERATORS, SMALLEST).json()
    assert body["port"] == 2775
    assert (body["systemType"], body["bindType"], body["useTls"]) == ("", "TRANSCEIVER", False)
    assert body["tpsLimit"] == {"maxTps": 10, "burstMultiplier": 1.5, "enforcementMode": "HARD_REJECT"}
    assert (body["notes"], body["contacts"], body["tags"], body["backupOperatorId"]) == ("", [], [], None)
    assert (body["status"], body["healthState"], body["version"], body["deletedAt"]) == (
        "INACTIVE",
        "UNKNOWN",
        1,
        None,
    )
    assert body["hasCredential"] is True
    assert "password" not in body


def test_it_takes_names_of_all_scripts_and_tidies_what_people_type(api: APIClient) -> None:
    backup = make_operator()
    body = api.post(
        OPERATORS,
        {
            **SMALLEST,
            "name": "  Télécom 移动 📱 ",
            "host": " SMPP.Comium.Example. ",
            "tags": [" emea", "emea", " "],
            "contacts": [" noc@x.example "],
            "backupOperatorId": str(backup.pk).upper(),
            "tpsLimit": {"maxTps": 10, "burstMultiplier": 2},
        },
    ).json()
    assert (body["name"], body["host"]) == ("Télécom 移动 📱", "smpp.comium.example")
    assert (body["tags"], body["contacts"]) == (["emea"], ["noc@x.example"])
    assert body["backupOperatorId"] == str(backup.pk)
    assert Operator.objects.get(pk=body["operatorId"]).burst_multiplier == Decimal("2.00")


def test_it_warns_of_passwords_longer_than_smpp_allows(api: APIClient) -> None:
    assert api.post(OPERATORS, SMALLEST).json()["warnings"] == []
    longer = {**SMALLEST, "name": "B", "systemId": "b", "password": "x" * 64}
    (warning,) = api.post(OPERATORS, longer).json()["warnings"]
    assert "longer than the 8 characters" in warning


def test_it_keeps_a_password_exactly_as_it_was_sent(api: APIClient) -> None:
    odd = " a\"b\\ '~"
    body = api.post(OPERATORS, {**SMALLEST, "password": odd}).json()
    assert Operator.objects.get(pk=body["operatorId"]).password.reveal() == odd


WRONG_VALUES: dict[str, tuple[Any, ...]] = {
    "name": (1, True, None, [], {}, ["Comium"]),
    "host": (1, None, ["smpp"]),
    "port": ("2775", 2775.0, 2775.5, True, None, [], {}),
    "systemId": (80, None, {}),
    "systemType": (1, None),
    "bindType": ("transceiver", "TRX", "", 1, None, [], True),
    "useTls": ("true", 1, 0, "", None),
    "tpsLimit.maxTps": ("10", 10.5, True, None),
    "tpsLimit.burstMultiplier": ("1.5", True, None, [1.5]),
    "tpsLimit.enforcementMode": ("hard_reject", "", 1, None),
    "backupOperatorId": (1, True, "", "x", [NOBODY]),
    "notes": (1, None, []),
    "contacts": ("noc", None, {}, 1),
    "tags": ("emea", None, {"0": "x"}),
    "password": (12345678, None, ["x"], {}, True),
}
WRONG_TYPES = [(field, value) for field, values in WRONG_VALUES.items() for value in values]


@pytest.mark.parametrize(("field", "value"), WRONG_TYPES, ids=[f"{field}-{value!r}" for field, value in WRONG_TYPES])
def test_it_never_guesses_what_a_value_of_another_type_means(api: APIClient, field: str, value: Any) -> None:
    assert set(errors(api.post(OPERATORS, with_value(field, value)))) == {field}
    assert not Operator.objects.exists()


BROKEN_RULES: list[tuple[str, Any, str]] = [
    ("name", "", "blank"),
    ("name", "   ", "blank"),
    ("name", "x" * 129, "128"),
    ("name", "a\nb", "line breaks"),
    ("host", "", "blank"),
    ("host", "smpp://carrier.example", "scheme"),
    ("host", "carrier.example:2775", "scheme"),
    ("host", "carrier.example/path", "scheme"),
    ("host", "-x.example", "hostname"),
    ("host", "10.0.0.256", "hostname"),
    ("port", 0, "1"),
    ("port", -1, "1"),
    ("port", 65536, "65535"),
    ("port", 10**40, "65535"),
    ("systemId", "", "blank"),
    ("systemId", "x" * 16, "15"),
    ("systemId", "café", "ASCII"),
    ("systemType", "x" * 13, "12"),
    ("systemType", "é", "ASCII"),
    ("tpsLimit.maxTps", 0, "1"),
    ("tpsLimit.maxTps", 2**31, "2147483647"),
    ("tpsLimit.burstMultiplier", 0.99, "1"),
    ("tpsLimit.burstMultiplier", 1.005, "2 decimal places"),
    ("tpsLimit.burstMultiplier", 100000, "digits"),
    ("tpsLimit.burstMultiplier", -1, "1"),
    ("backupOperatorId", NOBODY, "such operator"),
    ("notes", "x" * 10_001, "10000"),
    ("contacts", ["x" * 201], "200"),
    ("contacts", [f"c{number}" for number in range(51)], "50"),
    ("tags", ["x" * 51], "50"),
    ("password", "", "1 to 64"),
    ("password", "x" * 65, "1 to 64"),
    ("password", "pässword", "ASCII"),
    ("password", "a\tb", "ASCII"),
]


@pytest.mark.parametrize(("field", "value", "rule"), BROKEN_RULES, ids=[f"{f}-{r}" for f, _, r in BROKEN_RULES])
def test_it_names_the_field_and_the_rule(api: APIClient, field: str, value: Any, rule: str) -> None:
    before = metrics.operator_create.labels("invalid")._value.get()
    answer = api.post(OPERATORS, with_value(field, value))
    found = errors(answer)
    assert set(found) == {field}
    assert rule in found[field]
    if field == "password" and value:
        assert value not in answer.content.decode()
    assert not Operator.objects.exists()
    assert metrics.operator_create.labels("invalid")._value.get() == before + 1


def test_it_says_what_is_missing(api: APIClient) -> None:
    found = errors(api.post(OPERATORS, {}))
    assert found == dict.fromkeys(["name", "host", "systemId", "tpsLimit", "password"], "This field is required.")
    assert errors(api.post(OPERATORS, {**SMALLEST, "tpsLimit": {}})) == {"tpsLimit.maxTps": "This field is required."}
    odd: Any
    for odd in (None, [], 10, "10"):
        assert set(errors(api.post(OPERATORS, {**SMALLEST, "tpsLimit": odd}))) == {"tpsLimit"}


def test_it_tells_all_wrong_fields_at_once(api: APIClient) -> None:
    found = errors(
        api.post(
            OPERATORS,
            {
                "name": "",
                "host": "smpp://x",
                "port": "2775",
                "systemId": "x" * 16,
                "tpsLimit": {"maxTps": 0, "burstMultiplier": "2", "perMinute": 1},
                "contacts": ["fine", 7],
                "password": "",
                "status": "ACTIVE",
                "colour": "red",
            },
        )
    )
    assert set(found) == {
        "name",
        "host",
        "port",
        "systemId",
        "tpsLimit.maxTps",
        "tpsLimit.burstMultiplier",
        "tpsLimit.perMinute",
        "contacts[1]",
        "password",
        "status",
        "colour",
    }


def test_it_tells_rules_within_the_limit_beside_wrong_types_elsewhere(api: APIClient) -> None:
    body = {**SMALLEST, "port": "x", "tpsLimit": {"maxTps": 5, "burstMultiplier": 0.5}}
    assert set(errors(api.post(OPERATORS, body))) == {"port", "tpsLimit.burstMultiplier"}
    body["tpsLimit"]["enforcementMode"] = "SOMETIMES"
    assert set(errors(api.post(OPERATORS, body))) == {"port", "tpsLimit.burstMultiplier", "tpsLimit.enforcementMode"}


@pytest.mark.parametrize(
    "field",
    ["operatorId", "status", "healthState", "version", "hasCredential", "credentialVersion", "credentialRotatedAt",
     "createdBy", "updatedBy", "createdAt", "updatedAt", "deletedAt", "warnings"],
)  # fmt: skip
def test_it_lets_nobody_set_what_is_ours(api: APIClient, field: str) -> None:
    operator = make_operator()
    assert errors(api.post(OPERATORS, {**SMALLEST, field: "ACTIVE"})) == {field: "This field is read-only."}
    answer = api.patch(address(operator), {field: "ACTIVE"}, HTTP_IF_MATCH="*")
    assert errors(answer) == {field: "This field is read-only."}
    operator.refresh_from_db()
    assert (operator.version, operator.status) == (1, "INACTIVE")


@pytest.mark.parametrize("field", ["systemid", "system_id", "id", "credential_version", "is_deleted", "__class__", ""])
def test_it_refuses_fields_that_do_not_exist(api: APIClient, field: str) -> None:
    assert errors(api.post(OPERATORS, {**SMALLEST, field: 1})) == {field or "body": "There is no such field."}


def test_it_patches_only_what_is_named(api: APIClient) -> None:
    operator = make_operator(notes="keep", max_tps=100, burst_multiplier=Decimal("2.00"))
    answer = api.patch(address(operator), {"port": 3000, "tpsLimit": {"maxTps": 50}}, HTTP_IF_MATCH='"1"')
    assert answer.status_code == 200, answer.content
    body = answer.json()
    assert (body["port"], body["notes"], body["version"]) == (3000, "keep", 2)
    assert body["tpsLimit"] == {"maxTps": 50, "burstMultiplier": 2.0, "enforcementMode": "HARD_REJECT"}
    assert body["updatedBy"] == "bob"
    assert answer["ETag"] == '"2"'


def test_it_takes_null_only_for_what_may_be_nothing(api: APIClient) -> None:
    operator = make_operator(backup_operator_id=make_operator().pk)
    answer = api.patch(address(operator), {"backupOperatorId": None}, HTTP_IF_MATCH="*")
    assert answer.json()["backupOperatorId"] is None
    for field in ("name", "port", "notes", "tags", "tpsLimit", "password"):
        assert errors(api.patch(address(operator), {field: None}, HTTP_IF_MATCH="*")) == {
            field: "This field must not be null."
        }


def test_it_rotates_the_password_by_patch(api: APIClient) -> None:
    operator = make_operator()
    body = api.patch(address(operator), {"password": "n3w-pass-long"}, HTTP_IF_MATCH='"1"').json()
    assert (body["version"], body["credentialVersion"]) == (2, 2)
    assert len(body["warnings"]) == 1
    operator.refresh_from_db()
    assert operator.password.reveal() == "n3w-pass-long"

    reverted = api.post(address(operator, "/revert-credential"), {"reason": "typing error"}).json()
    assert reverted["credentialVersion"] == 1
    operator.refresh_from_db()
    assert operator.password.reveal() == PASSWORD


def test_it_leaves_the_version_alone_when_nothing_changes(api: APIClient) -> None:
    operator = make_operator()
    for body in ({}, {"name": f" {operator.name} "}, {"port": operator.port, "tpsLimit": {}}):
        answer = api.patch(address(operator), body, HTTP_IF_MATCH='"1"')
        assert (answer.status_code, answer["ETag"]) == (200, '"1"')


def test_it_reads_and_replaces_the_throughput_limit(api: APIClient) -> None:
    operator = make_operator(max_tps=100, burst_multiplier=Decimal("2.50"), enforcement_mode="SOFT_THROTTLE")
    where = address(operator, "/tps-limit")
    answer = api.get(where)
    assert answer.json() == {"maxTps": 100, "burstMultiplier": 2.5, "enforcementMode": "SOFT_THROTTLE"}
    assert answer["ETag"] == '"1"'

    answer = api.put(where, {"maxTps": 70})
    assert answer.json() == {"maxTps": 70, "burstMultiplier": 1.5, "enforcementMode": "HARD_REJECT"}
    assert answer["ETag"] == '"2"'
    assert errors(api.put(where, {"burstMultiplier": 1.0, "name": "x"})) == {
        "maxTps": "This field is required.",
        "name": "There is no such field.",
    }
    assert set(errors(api.put(where, {"maxTps": 1, "burstMultiplier": 0.5}))) == {"tpsLimit.burstMultiplier"}


def test_it_takes_a_reason_with_a_move_and_nothing_else(api: APIClient) -> None:
    operator = make_operator()
    where = address(operator, "/activate")
    assert set(errors(api.post(where, {"reason": 1}))) == {"reason"}
    assert set(errors(api.post(where, {"reason": "x" * 1001}))) == {"reason"}
    assert errors(api.post(where, {"status": "ACTIVE"})) == {"status": "There is no such field."}
    assert api.post(where, {"reason": "ticket 4711"}).status_code == 200
    assert operator.audit_entries.first().reason == "ticket 4711"  # type: ignore[union-attr]


def test_it_refuses_itself_and_rings_as_backup(api: APIClient) -> None:
    first, second = make_operator(), make_operator()
    itself = api.patch(address(first), {"backupOperatorId": str(first.pk)}, HTTP_IF_MATCH="*")
    assert set(errors(itself)) == {"backupOperatorId"}
    assert api.patch(address(first), {"backupOperatorId": str(second.pk)}, HTTP_IF_MATCH="*").status_code == 200
    ring = api.patch(address(second), {"backupOperatorId": str(first.pk)}, HTTP_IF_MATCH="*")
    assert set(errors(ring)) == {"backupOperatorId"}
    nobody = api.patch(address(first), {"backupOperatorId": str(uuid4())}, HTTP_IF_MATCH="*")
    assert set(errors(nobody)) == {"backupOperatorId"}
