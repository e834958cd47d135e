"""The examples of destination prefixes in the OpenAPI description."""

from __future__ import annotations

from typing import Any, Final

from operators.api.examples import Problem

PREFIX_ID: Final = "9d4f2a61-7c3b-4e85-b0d2-6f1a8c5e3b97"

DESTINATION_BODY: Final[dict[str, Any]] = {
    "prefix": "+4479",
    "country": "GB",
    "network": "Example Mobile",
    "mcc": "234",
    "mnc": "10",
}
DESTINATION_PATCH: Final[dict[str, Any]] = {"network": "Example Wireless", "mnc": None}
DESTINATION: Final[dict[str, Any]] = {
    "prefixId": PREFIX_ID,
    **DESTINATION_BODY,
    "origin": "STAFF",
    "version": 1,
    "updatedBy": "alice",
    "updatedAt": "2026-03-02T09:15:00.000000Z",
}
CHANGED_DESTINATION: Final[dict[str, Any]] = {
    **DESTINATION,
    **DESTINATION_PATCH,
    "version": 2,
    "updatedBy": "bob",
    "updatedAt": "2026-03-02T09:20:00.000000Z",
}

_LIST: Final = "/v1/admin/destination-prefixes"
_ONE: Final = f"{_LIST}/{PREFIX_ID}"


def _invalid(name: str, field: str, message: str, instance: str) -> Problem:
    return Problem(
        name,
        400,
        "INVALID_PAYLOAD",
        "The request breaks a rule",
        f"Look at: {field}.",
        {"errors": [{"field": field, "message": message}]},
        instance,
    )


INVALID_DESTINATION: Final = _invalid(
    "INVALID_PREFIX", "prefix", "A prefix is + and 1 to 15 digits, the first one 1 to 9 (E.164).", _LIST
)
INVALID_FILTER: Final = _invalid(
    "INVALID_FILTER", "country", "The country is a two-letter code of ISO 3166-1, such as GB.", _LIST
)
DUPLICATE_PREFIX: Final = Problem(
    "DUPLICATE_PREFIX",
    409,
    "DUPLICATE_PREFIX",
    "This prefix has a row already",
    "There is a destination prefix +4479 already; change that one.",
    {"prefixId": PREFIX_ID},
    _LIST,
)
NO_DESTINATION: Final = Problem(
    "NO_PREFIX", 404, "NOT_FOUND", "There is nothing here", "There is no such destination prefix.", instance=_ONE
)
DESTINATION_CHANGED: Final = Problem(
    "PREFIX_CHANGED",
    412,
    "PRECONDITION_FAILED",
    "What was to be changed has changed meanwhile",
    "The prefix is at version 2, not 1: bob changed it meanwhile.",
    instance=_ONE,
)
