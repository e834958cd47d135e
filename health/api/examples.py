"""The examples of health in the OpenAPI description."""

from __future__ import annotations

from typing import Any, Final

from operators.api.examples import OPERATOR_ID, Problem

EVENT_ID: Final = "8c7f1a52-94c3-4f0e-b1d7-2a6c0e5b9d38"

REPORT_BODY: Final[dict[str, Any]] = {
    "eventId": EVENT_ID,
    "operatorId": OPERATOR_ID,
    "connectorId": "smpp-connector-2",
    "observedAt": "2026-03-02T09:15:00.000000Z",
    "bindState": "BOUND",
    "errorRate": 0.012,
    "bindError": None,
    "latencyMs": 48,
}
REPORT: Final[dict[str, Any]] = {
    **{name: value for name, value in REPORT_BODY.items() if name != "operatorId"},
    "receivedAt": "2026-03-02T09:15:00.084000Z",
}
MAINTENANCE_BODY: Final[dict[str, Any]] = {
    "until": "2026-03-02T11:00:00Z",
    "reason": "The carrier moves its SMSC, ticket 4711",
}
OVERRIDE_BODY: Final[dict[str, Any]] = {
    "state": "DEGRADED",
    "until": "2026-03-02T11:00:00Z",
    "reason": "Delivery receipts are late, ticket 4712",
}
STATUS: Final[dict[str, Any]] = {
    "operatorId": OPERATOR_ID,
    "state": "HEALTHY",
    "since": "2026-03-02T08:00:10.000000Z",
    "reason": "BOUND",
    "measuredState": "HEALTHY",
    "measuredSince": "2026-03-02T08:00:10.000000Z",
    **{name: REPORT[name] for name in ("errorRate", "bindState", "bindError", "latencyMs", "connectorId")},
    "observedAt": REPORT["observedAt"],
    "receivedAt": REPORT["receivedAt"],
    "sequence": 12,
    "maintenance": None,
    "override": None,
}
_DECIDED: Final[dict[str, Any]] = {"since": "2026-03-02T09:15:04.120000Z", "sequence": 13}
_OPENED: Final[dict[str, Any]] = {
    "until": "2026-03-02T11:00:00.000000Z",
    "startedAt": "2026-03-02T09:15:04.120000Z",
    "startedBy": "bob",
}
IN_MAINTENANCE: Final[dict[str, Any]] = {
    **STATUS,
    **_DECIDED,
    "state": "UNHEALTHY",
    "reason": "MAINTENANCE",
    "maintenance": {"state": "UNHEALTHY", **_OPENED, "reason": MAINTENANCE_BODY["reason"]},
}
OVERRIDDEN: Final[dict[str, Any]] = {
    **STATUS,
    **_DECIDED,
    "state": "DEGRADED",
    "reason": "OVERRIDE",
    "override": {"state": "DEGRADED", **_OPENED, "reason": OVERRIDE_BODY["reason"]},
}
TRANSITION: Final[dict[str, Any]] = {
    "previousState": "HEALTHY",
    "newState": "UNHEALTHY",
    "reason": "BIND_LOST",
    "at": "2026-03-02T07:58:40.000000Z",
    "recordedAt": "2026-03-02T07:58:40.171000Z",
    "errorRate": 0.0,
    "bindError": "ESME_RBINDFAIL",
    "hidden": False,
    "sequence": 10,
}
RECEIPT: Final[dict[str, Any]] = {
    "accepted": 1,
    "rejected": [
        {
            "index": 1,
            "eventId": "f0b9d8a7-6c5e-4d3f-8b2a-1c0d9e8f7a6b",
            "reason": "UNKNOWN_OPERATOR",
            "field": "operatorId",
            "message": "There is no such operator.",
        }
    ],
}

_INVALID: Final = (400, "INVALID_PAYLOAD", "The request breaks a rule")
INVALID_SPAN: Final = Problem(
    "INVALID_SPAN",
    *_INVALID,
    "Look at: from.",
    {"errors": [{"field": "from", "message": "At most 31 days before to."}]},
    f"/v1/admin/operators/{OPERATOR_ID}/health",
)
INVALID_END: Final = Problem(
    "INVALID_END",
    *_INVALID,
    "Look at: until.",
    {"errors": [{"field": "until", "message": "At most 30 days ahead."}]},
    f"/v1/admin/operators/{OPERATOR_ID}/maintenance",
)
NO_WINDOW: Final = Problem(
    "NO_OPEN_WINDOW",
    404,
    "NOT_FOUND",
    "There is nothing here",
    "The operator has no maintenance now.",
    instance=f"/v1/admin/operators/{OPERATOR_ID}/maintenance",
)
INVALID_REPORTS: Final = Problem(
    "INVALID_REPORTS",
    *_INVALID,
    "Look at: [0].errorRate.",
    {"errors": [{"field": "[0].errorRate", "message": "This field is required."}]},
    "/v1/internal/health",
)
BROKER_UNAVAILABLE: Final = Problem(
    "BROKER_UNAVAILABLE",
    503,
    "BROKER_UNAVAILABLE",
    "The broker is away",
    "The broker does not answer; send all of it again in a moment.",
    {"accepted": 0, "pending": [{"index": 0, "eventId": EVENT_ID}]},
    "/v1/internal/health",
)
