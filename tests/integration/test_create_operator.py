"""From a POST to the event on the stream, through every store on the way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from rest_framework.test import APIClient

from operators import events
from operators.models import AuditEntry, Operator
from tests.factories import PASSWORD
from tests.streams import Message

pytestmark = pytest.mark.django_db(transaction=True)

BODY: dict[str, Any] = {
    "name": "Comium +22",
    "host": "smpp4.comium22.example",
    "port": 3550,
    "systemId": "comium_80",
    "bindType": "RECEIVER",
    "useTls": True,
    "tpsLimit": {"maxTps": 10, "burstMultiplier": 2, "enforcementMode": "SOFT_THROTTLE"},
    "notes": "peak hours only",
    "contacts": ["noc@comium.example"],
    "tags": ["west-africa"],
    "password": PASSWORD,
}


def test_it_creates_an_operator_in_row_vault_history_and_stream(
    api: APIClient, drain: Callable[[], None], messages: Callable[..., list[Message]]
) -> None:
    answer = api.post("/v1/admin/operators", BODY)

    assert answer.status_code == 201, answer.content
    body = answer.json()
    assert answer["ETag"] == '"1"'
    assert answer["Location"].endswith(f"/v1/admin/operators/{body['operatorId']}")
    assert (body["status"], body["healthState"], body["version"], body["credentialVersion"]) == (
        "INACTIVE",
        "UNKNOWN",
        1,
        1,
    )
    assert body["createdBy"] == "bob"
    assert "password" not in answer.content.decode()

    operator = Operator.objects.get(pk=UUID(body["operatorId"]))
    assert operator.password.reveal() == PASSWORD
    assert AuditEntry.objects.filter(operator=operator, actor="bob", source="api", action="create").count() == 1

    drain()
    (message,) = messages()
    events.validate(message.body)
    assert message.subject == "operator.config.created"
    assert message.headers["Nats-Msg-Id"] == message.body["eventId"]
    assert message.headers["Content-Type"] == "application/json"
    assert message.body["operatorId"] == body["operatorId"]
    assert PASSWORD not in message.raw.decode()


def test_it_shows_what_it_created(api: APIClient) -> None:
    created = api.post("/v1/admin/operators", BODY).json()

    shown = api.get(f"/v1/admin/operators/{created['operatorId']}")

    assert shown.status_code == 200
    for name in ("name", "host", "port", "systemId", "bindType", "useTls", "notes", "contacts", "tags"):
        assert shown.json()[name] == BODY[name]
    assert shown.json()["tpsLimit"] == {"maxTps": 10, "burstMultiplier": 2.0, "enforcementMode": "SOFT_THROTTLE"}
