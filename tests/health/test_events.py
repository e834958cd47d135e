"""The event operator.health against its schema; tests/operators/test_events.py holds what is true of every schema."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

import pytest

from health.events import moved
from operators.events import EventInvalid, validate


def body(**changes: Any) -> dict[str, Any]:
    moment = datetime(2026, 11, 23, 12, 0, 0, 250_000, tzinfo=UTC)
    values: dict[str, Any] = {
        "operator_id": uuid.UUID(int=1),
        "sequence": 1,
        "previous_state": "UNKNOWN",
        "new_state": "HEALTHY",
        "reason": "BOUND",
        "error_rate": 0.0289,
        "bind_error": None,
        "observed_at": moment,
        "occurred_at": moment,
    }
    return dict(moved(**{**values, **changes}).body)


def test_it_tells_what_the_contract_says() -> None:
    found = body()
    assert uuid.UUID(found.pop("eventId")).version == 4
    assert found == {
        "schemaVersion": "1",
        "type": "operator.health.v1",
        "operatorId": "00000000-0000-0000-0000-000000000001",
        "version": 1,
        "occurredAt": "2026-11-23T12:00:00.250000Z",
        "previousState": "UNKNOWN",
        "newState": "HEALTHY",
        "reason": "BOUND",
        "errorRate": 0.0289,
        "bindError": None,
        "observedAt": "2026-11-23T12:00:00.250000Z",
    }


@pytest.mark.parametrize("reason", ["BOUND", "BIND_LOST", "ERROR_RATE", "STALE", "MAINTENANCE", "OVERRIDE"])
def test_it_tells_every_reason_of_a_move(reason: str) -> None:
    assert body(reason=reason, error_rate=None, bind_error="ESME_RBINDFAIL")["reason"] == reason


@pytest.mark.parametrize(
    "spoil",
    [
        {"password": "x"},
        {"connectorId": "smpp-connector-0"},
        {"version": 0},
        {"newState": "FINE"},
        {"previousState": None},
        {"reason": ""},
        {"errorRate": 1.01},
        {"errorRate": "0.5"},
        {"bindError": {"secret": "x"}},
        {"bindError": "x" * 129},
        {"observedAt": "2026-11-23 12:00"},
        {"operatorId": "7"},
    ],
    ids=lambda spoil: " ".join(spoil),
)
def test_it_refuses_a_body_that_breaks_its_schema(spoil: dict[str, Any]) -> None:
    with pytest.raises(EventInvalid):
        validate({**body(), **spoil})


@pytest.mark.parametrize(
    "name",
    [
        "schemaVersion",
        "eventId",
        "operatorId",
        "version",
        "occurredAt",
        "previousState",
        "newState",
        "reason",
        "errorRate",
        "bindError",
        "observedAt",
    ],
)
def test_it_refuses_a_body_without_one_of_its_fields(name: str) -> None:
    found = body()
    del found[name]
    with pytest.raises(EventInvalid):
        validate(found)
