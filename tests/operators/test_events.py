"""The event schemas are a registry: closed at every level, and with no room for a secret."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from jsonschema import Draft202012Validator

from operators import actions, events, outbox
from operators.models import Operator, OutboxEvent
from operators.secrets import Secret
from tests.factories import ALICE, make_operator

SCHEMAS = sorted((Path(settings.BASE_DIR) / "docs" / "events").glob("*.json"))
FORBIDDEN = ("password", "secret", "token", "credentials-value")


def nodes(schema: Any) -> Iterator[dict[str, Any]]:
    """Walk through every sub-schema."""
    if isinstance(schema, dict):
        yield schema
        for value in schema.values():
            yield from nodes(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from nodes(value)


@pytest.fixture
def operator(db: None) -> Operator:
    return make_operator(name="Telia", tags=["nordic"])


def bodies(operator: Operator) -> list[dict[str, Any]]:
    return [dict(event.payload) for event in OutboxEvent.objects.filter(operator_id=operator.id)]


def test_it_has_a_schema_for_each_of_the_four_events() -> None:
    assert [path.stem for path in SCHEMAS] == [
        "operator.config.created.v1",
        "operator.config.deleted.v1",
        "operator.config.updated.v1",
        "operator.health.v1",
    ]


@pytest.mark.parametrize("path", SCHEMAS, ids=lambda path: path.stem)
def test_it_closes_every_object_and_names_no_secret(path: Path) -> None:
    schema = json.loads(path.read_text())
    Draft202012Validator.check_schema(schema)

    for node in nodes(schema):
        if node.get("type") == "object":
            assert node["additionalProperties"] is False
            assert not [name for name in node["properties"] if any(word in name.lower() for word in FORBIDDEN)]


def test_it_stores_only_events_that_their_schema_accepts(operator: Operator) -> None:
    actions.update_operator(
        actor=ALICE,
        operator_id=operator.id,
        changes={
            "name": "Telia AB",
            "host": "2001:db8::7",
            "port": 2776,
            "system_id": "telia_2",
            "system_type": "ESME",
            "bind_type": "RECEIVER",
            "use_tls": True,
            "max_tps": 7,
            "burst_multiplier": "2.25",
            "enforcement_mode": "SOFT_THROTTLE",
            "backup_operator_id": make_operator().id,
            "notes": "n",
            "contacts": ["noc@telia.example"],
            "tags": ["a", "b"],
        },
        password=Secret("rotated"),
    )
    actions.activate_operator(actor=ALICE, operator_id=operator.id)
    actions.delete_operator(actor=ALICE, operator_id=operator.id)
    actions.restore_operator(actor=ALICE, operator_id=operator.id)

    found = bodies(operator)
    assert [body["type"].split(".")[2] for body in found] == ["created", "updated", "updated", "deleted", "updated"]
    assert [body["version"] for body in found] == [1, 2, 3, 4, 5]
    for body in found:
        events.validate(body)
    assert set(found[1]["changedFields"]) - set(found[1]["newValues"]) == {"credentials", "notes", "contacts"}


@pytest.mark.parametrize(
    "spoil",
    [
        {"password": "x"},
        {"version": 0},
        {"occurredAt": "yesterday"},
        {"operatorId": "7"},
        {"tpsLimit": {"maxTps": 1, "burstMultiplier": 1.5, "enforcementMode": "HARD_REJECT", "secret": "x"}},
        {"status": "ACTIVE"},
    ],
)
def test_it_refuses_a_body_that_breaks_its_schema(operator: Operator, spoil: dict[str, Any]) -> None:
    with pytest.raises(events.EventInvalid):
        events.validate({**bodies(operator)[0], **spoil})


def test_it_refuses_an_event_outside_the_transaction_of_its_change(transactional_db: None) -> None:
    event = events.created(make_operator())

    assert not connection.in_atomic_block
    with pytest.raises(RuntimeError, match="transaction"):
        outbox.append(event)


def test_it_refuses_a_secret_as_a_changed_field(operator: Operator) -> None:
    with pytest.raises(events.EventInvalid):
        events.updated(operator, {"password": ("old", "new")})


def test_it_gives_each_event_its_own_id(operator: Operator) -> None:
    assert events.created(operator).event_id != events.created(operator).event_id
