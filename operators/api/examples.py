"""The examples of the OpenAPI description: one invented operator, and one body for each refusal."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

OPERATOR_ID: Final = "3f2b8c1e-5d0a-4b7e-9a61-0c9e6f1d2a34"
BACKUP_ID: Final = "b7d6a0f2-1c3e-4f58-8a90-5e2d7c4b6a19"

TPS_LIMIT: Final[dict[str, Any]] = {"maxTps": 200, "burstMultiplier": 1.5, "enforcementMode": "SOFT_THROTTLE"}
_OWN_VALUES: Final[dict[str, Any]] = {
    "name": "Example Mobile",
    "host": "smpp.example.net",
    "port": 2775,
    "systemId": "exmob01",
    "systemType": "",
    "bindType": "TRANSCEIVER",
    "useTls": True,
    "tpsLimit": TPS_LIMIT,
    "backupOperatorId": BACKUP_ID,
    "notes": "Maintenance on Sundays, 02:00 to 04:00 UTC.",
    "contacts": ["NOC <noc@example.net>"],
    "tags": ["tier-1", "emea"],
}
CREATE_BODY: Final[dict[str, Any]] = _OWN_VALUES | {"password": "8letters"}
PATCH_BODY: Final[dict[str, Any]] = {"port": 2776, "tpsLimit": {"maxTps": 250}}
REASON_BODY: Final[dict[str, Any]] = {"reason": "Agreed with the carrier, ticket 4711"}
OPERATOR: Final[dict[str, Any]] = _OWN_VALUES | {
    "operatorId": OPERATOR_ID,
    "status": "INACTIVE",
    "healthState": "UNKNOWN",
    "version": 7,
    "hasCredential": True,
    "credentialVersion": 2,
    "credentialRotatedAt": "2026-03-02T09:15:00.000000Z",
    "createdBy": "alice",
    "updatedBy": "bob",
    "createdAt": "2026-01-12T14:30:00.000000Z",
    "updatedAt": "2026-03-02T09:15:00.000000Z",
    "deletedAt": None,
}
HISTORY_ENTRY: Final[dict[str, Any]] = {
    "version": 8,
    "action": "update",
    "actor": "bob",
    "source": "api",
    "reason": "",
    "changes": [{"field": "port", "previousValue": 2775, "newValue": 2776}],
    "traceId": "4bf92f3577b34da6a3ce929d0e0e4736",
    "at": "2026-03-02T09:20:00.000000Z",
}


@dataclass(frozen=True)
class Problem:
    """One refusal as callers see it (RFC 9457)."""

    name: str
    status: int
    code: str
    title: str
    detail: str
    members: dict[str, Any] = field(default_factory=dict)
    instance: str = f"/v1/admin/operators/{OPERATOR_ID}"

    @property
    def title_words(self) -> str:
        return self.name.replace("_", " ").capitalize()

    @property
    def body(self) -> dict[str, Any]:
        return {
            "type": f"urn:ops:problem:{self.code.lower().replace('_', '-')}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            "instance": self.instance,
            **self.members,
        }


def _errors(name: str, message: str) -> dict[str, Any]:
    return {"errors": [{"field": name, "message": message}]}


_INVALID: Final = ("INVALID_PAYLOAD", "The request breaks a rule")
PROBLEMS: Final[dict[str, Problem]] = {
    problem.name: problem
    for problem in (
        Problem(
            "INVALID_PAYLOAD",
            400,
            *_INVALID,
            "Look at: port.",
            _errors("port", "Ensure this value is less than or equal to 65535."),
        ),
        Problem(
            "INVALID_PARAMETER", 400, *_INVALID, "Look at: limit.", _errors("limit", "A whole number from 1 to 200.")
        ),
        Problem(
            "INVALID_IF_MATCH",
            400,
            *_INVALID,
            "Look at: If-Match.",
            _errors("If-Match", 'One ETag in quotes, such as "7", or *.'),
        ),
        Problem("UNAUTHENTICATED", 401, "UNAUTHENTICATED", "The caller is not known", "The token is not valid."),
        Problem("FORBIDDEN", 403, "FORBIDDEN", "The caller may not do this", "The token's scope does not allow this."),
        Problem("NOT_FOUND", 404, "NOT_FOUND", "There is nothing here", "There is no such operator."),
        Problem(
            "DUPLICATE_OPERATOR",
            409,
            "DUPLICATE_OPERATOR",
            "Another operator already has these values",
            "The operator “Example Mobile” already has this host, port, systemId.",
            {"conflict": {"operatorId": BACKUP_ID, "name": "Example Mobile", "fields": ["host", "port", "systemId"]}},
        ),
        Problem(
            "CREATION_UNDER_WAY",
            409,
            "DUPLICATE_OPERATOR",
            "Another operator already has these values",
            "The creation of this operator is under way; ask again in a moment.",
        ),
        Problem(
            "INVALID_STATUS_TRANSITION",
            409,
            "INVALID_STATUS_TRANSITION",
            "The operator cannot make this move now",
            "An operator that is INACTIVE cannot become SUSPENDED.",
        ),
        Problem(
            "PRECONDITION_FAILED",
            412,
            "PRECONDITION_FAILED",
            "What was to be changed has changed meanwhile",
            "The operator is at version 8, not 7: bob changed it meanwhile.",
        ),
        Problem(
            "PAYLOAD_TOO_LARGE",
            413,
            "PAYLOAD_TOO_LARGE",
            "The body is too large",
            "The body may have at most 1048576 bytes.",
        ),
        Problem(
            "UNSUPPORTED_MEDIA_TYPE",
            415,
            "UNSUPPORTED_MEDIA_TYPE",
            "This address takes no such body",
            'Unsupported media type "text/plain" in request.',
        ),
        Problem(
            "PRECONDITION_REQUIRED",
            428,
            "PRECONDITION_REQUIRED",
            "Say which version you saw",
            "Send If-Match with the ETag that you saw, or * to change whatever is there.",
        ),
        Problem(
            "VAULT_UNAVAILABLE",
            503,
            "VAULT_UNAVAILABLE",
            "The credential store is away",
            "The credential store does not answer; nothing was changed.",
        ),
        Problem(
            "DATABASE_UNAVAILABLE",
            503,
            "DATABASE_UNAVAILABLE",
            "The database is away",
            "The database does not answer; try again in a moment.",
        ),
    )
}
