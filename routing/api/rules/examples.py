"""The examples of routing rules in the OpenAPI description."""

from __future__ import annotations

from typing import Any, Final

from operators.api.examples import OPERATOR_ID, Problem

RULE_ID: Final = "5e0c7a92-1f4b-4d3a-8c66-7b9d0e2f4a15"
OTHER_ID: Final = "c41d9f06-88a2-4b57-9e3d-2a6f5b7c8d90"

RULE_BODY: Final[dict[str, Any]] = {
    "prefix": "+4479",
    "mcc": "234",
    "mnc": "10",
    "priority": 10,
    "weight": 100,
    "costPerSegment": 0.0415,
    "currency": "EUR",
    "effectiveFrom": "2026-04-01T00:00:00Z",
    "effectiveTo": None,
    "active": True,
    "allowOverlap": False,
}
RULE_PATCH: Final[dict[str, Any]] = {"costPerSegment": "0.039", "effectiveTo": "2026-10-01T00:00:00+02:00"}
RULE: Final[dict[str, Any]] = {
    "ruleId": RULE_ID,
    "operatorId": OPERATOR_ID,
    **{name: value for name, value in RULE_BODY.items() if name != "allowOverlap"},
    "effectiveFrom": "2026-04-01T00:00:00.000000Z",
    "version": 1,
    "createdBy": "alice",
    "updatedBy": "alice",
    "createdAt": "2026-03-02T09:15:00.000000Z",
    "updatedAt": "2026-03-02T09:15:00.000000Z",
}
CHANGED_RULE: Final[dict[str, Any]] = {
    **RULE,
    "costPerSegment": 0.039,
    "effectiveTo": "2026-09-30T22:00:00.000000Z",
    "version": 2,
    "updatedBy": "bob",
    "updatedAt": "2026-03-02T09:20:00.000000Z",
}

_RULES: Final = f"/v1/admin/operators/{OPERATOR_ID}/routing-rules"
_RULE: Final = f"/v1/admin/routing-rules/{RULE_ID}"


def _conflict(name: str, kind: str, message: str, prefix: str, instance: str) -> Problem:
    other = {
        "ruleId": OTHER_ID,
        "prefix": prefix,
        "mcc": None,
        "mnc": None,
        "priority": 10,
        "effectiveFrom": None,
        "effectiveTo": None,
    }
    return Problem(
        name,
        409,
        "ROUTING_RULE_CONFLICT",
        "The rule meets other rules of its operator",
        message,
        {"conflicts": [{"kind": kind, "message": message, "total": 1, "rules": [other]}]},
        instance,
    )


EXACT: Final = _conflict(
    "EXACT_CONFLICT", "EXACT", "The operator already has an active rule for +4479 at that time.", "+4479", _RULES
)
OVERLAP: Final = _conflict(
    "OVERLAP",
    "OVERLAP",
    "At priority 10 the operator has rules whose prefixes contain, or lie inside, +4479; the longest one wins.",
    "+447",
    _RULES,
)
UNDER_WAY: Final = Problem(
    "RULE_CREATION_UNDER_WAY",
    409,
    "ROUTING_RULE_CONFLICT",
    "The rule meets other rules of its operator",
    "The creation of this rule is under way; ask again in a moment.",
    {"conflicts": []},
    _RULES,
)
INVALID_RULE: Final = Problem(
    "INVALID_RULE",
    400,
    "INVALID_PAYLOAD",
    "The request breaks a rule",
    "Look at: prefix.",
    {"errors": [{"field": "prefix", "message": "A prefix is + and 1 to 15 digits, the first one 1 to 9 (E.164)."}]},
    _RULES,
)
INVALID_FILTER: Final = Problem(
    "INVALID_FILTER",
    400,
    "INVALID_PAYLOAD",
    "The request breaks a rule",
    "Look at: ordering.",
    {
        "errors": [
            {
                "field": "ordering",
                "message": "All rules come by prefix or -prefix; give operatorId, prefix or number.",
            }
        ]
    },
    "/v1/admin/routing-rules",
)
NO_RULE: Final = Problem(
    "NO_RULE", 404, "NOT_FOUND", "There is nothing here", "There is no such routing rule.", instance=_RULE
)
RULE_CHANGED: Final = Problem(
    "RULE_CHANGED",
    412,
    "PRECONDITION_FAILED",
    "What was to be changed has changed meanwhile",
    "The rule is at version 2, not 1: bob changed it meanwhile.",
    instance=_RULE,
)
