"""The examples of resolution in the OpenAPI description."""

from __future__ import annotations

from typing import Any, Final

from operators.api.examples import BACKUP_ID, OPERATOR_ID, Problem
from routing.api.rules.examples import OTHER_ID, RULE_ID

_FIRST: Final[dict[str, Any]] = {
    "ruleId": RULE_ID,
    "operatorId": OPERATOR_ID,
    "operatorName": "Example Mobile",
    "prefix": "+4479",
    "mcc": None,
    "mnc": None,
    "priority": 10,
    "weight": 100,
    "costPerSegment": 0.0415,
    "currency": "EUR",
    "healthState": "HEALTHY",
}
_SECOND: Final[dict[str, Any]] = {
    **_FIRST,
    "ruleId": OTHER_ID,
    "operatorId": BACKUP_ID,
    "operatorName": "Backup Telecom",
    "prefix": "+44",
    "costPerSegment": 0.038,
}
_WINDOW: Final = {"status": "ACTIVE", "active": True, "effectiveFrom": None, "effectiveTo": None}
ANSWER: Final[dict[str, Any]] = {
    "to": "+447911123456",
    "outcome": "ROUTED",
    "strategy": "PRIORITY",
    "asOf": "2026-03-02T09:15:00.000000Z",
    "currency": None,
    "selected": {**_FIRST, "position": 1},
    "candidates": [{**_FIRST, "position": 1}, {**_SECOND, "position": 2}],
}
EXPLAINED: Final[dict[str, Any]] = {
    **ANSWER,
    "explanation": [
        {
            **_FIRST,
            **_WINDOW,
            "verdict": "CHOSEN",
            "reason": "CHOSEN",
            "sentence": "Its prefix +4479 is the longest that the number begins with.",
            "position": 1,
        },
        {
            **_SECOND,
            **_WINDOW,
            "verdict": "NEXT",
            "reason": "SHORTER_PREFIX",
            "sentence": "Its prefix +44 is shorter than +4479.",
            "position": 2,
        },
    ],
}
MANY_BODY: Final[dict[str, Any]] = {"numbers": ["+447911123456"], "strategy": "PRIORITY", "limit": 2}
ANSWERS: Final[dict[str, Any]] = {"answers": [ANSWER]}
INVALID_NUMBER: Final = Problem(
    "INVALID_NUMBER",
    400,
    "INVALID_PAYLOAD",
    "The request breaks a rule",
    "Look at: to.",
    {"errors": [{"field": "to", "message": "Write + instead of 00."}]},
    instance="/v1/admin/routes/resolve",
)
