"""How the OpenAPI description tells of each operation of health."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter

from health.api.examples import (
    BROKER_UNAVAILABLE,
    IN_MAINTENANCE,
    INVALID_END,
    INVALID_REPORTS,
    INVALID_SPAN,
    MAINTENANCE_BODY,
    NO_WINDOW,
    OVERRIDDEN,
    OVERRIDE_BODY,
    RECEIPT,
    REPORT,
    REPORT_BODY,
    STATUS,
    TRANSITION,
)
from health.api.serializers import (
    BIND_STATES,
    MaintenanceInput,
    OverrideInput,
    ReceiptSerializer,
    ReportSerializer,
    StatusSerializer,
    TransitionSerializer,
)
from health.intake import MAX_BATCH
from operators.api.schema import operation as _operation

operation = partial(_operation, tag="Health")

_TEXT: Final[dict[str, Any]] = {"type": "string", "minLength": 1, "maxLength": 128, "pattern": "^[\\x20-\\x7e]+$"}
REPORT_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "description": "Fields that do not exist are ignored, so that a connector may be upgraded before this service.",
    "required": list(REPORT_BODY),
    "properties": {
        "eventId": {"type": "string", "format": "uuid", "description": "Of the connector's making; taken once."},
        "operatorId": {"type": "string", "format": "uuid"},
        "connectorId": _TEXT,
        "observedAt": {"type": "string", "format": "date-time", "description": "At most 5 minutes ahead of our clock."},
        "bindState": {"enum": BIND_STATES, "description": "FAILBACK counts as bound."},
        "errorRate": {"type": "number", "minimum": 0, "maximum": 1},
        "bindError": {
            "oneOf": [_TEXT, {"type": "null"}],
            "description": "An SMPP status name: ESME_RBINDFAIL.",
        },
        "latencyMs": {"type": ["integer", "null"], "minimum": 0, "maximum": 2_147_483_647},
    },
}


def _moment(name: str, description: str) -> OpenApiParameter:
    return OpenApiParameter(name, OpenApiTypes.DATETIME, OpenApiParameter.QUERY, description=description)


list_reports = operation(
    "listHealthReports",
    "Read an operator's health reports",
    "Newest first. At most 31 days at once. Later pages cost more than earlier ones: for much of the log, ask for "
    "short spans one after the other.",
    answer=ReportSerializer(many=True),
    example=REPORT,
    parameters=(
        _moment("from", "The first moment; 24 hours before the end unless given."),
        _moment("to", "The end, itself not included; now unless given."),
    ),
    errors=(INVALID_SPAN, "NOT_FOUND"),
)
read_status = operation(
    "readHealthStatus",
    "Read how an operator is now",
    "What others see, what the reports alone say, the newest report, and what staff have decided. Where nobody has "
    "decided anything, the first two are the same.",
    answer=StatusSerializer,
    example=STATUS,
    errors=("NOT_FOUND",),
)
list_transitions = operation(
    "listHealthTransitions",
    "Read the moves of an operator's health",
    "Newest first; all of them unless from or to is given.",
    answer=TransitionSerializer(many=True),
    example=TRANSITION,
    parameters=(
        _moment("from", "The first moment, by `at`."),
        _moment("to", "The end, by `at`, itself not included."),
    ),
    errors=("INVALID_PARAMETER", "NOT_FOUND"),
)
_DECIDES: Final = (INVALID_END, "PAYLOAD_TOO_LARGE", "UNSUPPORTED_MEDIA_TYPE", "NOT_FOUND")
start_maintenance = operation(
    "startMaintenance",
    "Put an operator into maintenance",
    "Others see it as UNHEALTHY until then, routing leaves it out, and nobody is paged. Reports go on being counted "
    "underneath. One that is open is replaced; it beats an override.",
    answer=StatusSerializer,
    example=IN_MAINTENANCE,
    body=MaintenanceInput,
    body_example=MAINTENANCE_BODY,
    errors=_DECIDES,
)
end_maintenance = operation(
    "endMaintenance",
    "End an operator's maintenance",
    "Others see again what an open override or the reports say.",
    status=204,
    errors=(NO_WINDOW,),
)
override_health = operation(
    "overrideHealth",
    "Override an operator's health state",
    "Others see this state until then, whatever the reports say, unless a maintenance is open. One that is open is "
    "replaced.",
    answer=StatusSerializer,
    example=OVERRIDDEN,
    body=OverrideInput,
    body_example=OVERRIDE_BODY,
    errors=_DECIDES,
)
end_override = operation(
    "endHealthOverride",
    "End the override of an operator's health state",
    "Others see again what the reports say.",
    status=204,
    errors=(NO_WINDOW,),
)
take_reports = operation(
    "takeHealthReports",
    "Report the health of binds",
    f"One report, or an array of up to {MAX_BATCH}. Each good one is in the stream when the answer goes out, and its "
    "state follows within a second. The others are listed, and kept as dead letters; where none is good, the answer is "
    "400. After a 503, send all of it again: what was taken already is recognised by its eventId.",
    status=202,
    answer=ReceiptSerializer,
    example=RECEIPT,
    body={
        "application/json": {
            "oneOf": [
                REPORT_SCHEMA,
                {"type": "array", "items": REPORT_SCHEMA, "minItems": 1, "maxItems": MAX_BATCH},
            ]
        }
    },
    body_example=REPORT_BODY,
    errors=(INVALID_REPORTS, "PAYLOAD_TOO_LARGE", "UNSUPPORTED_MEDIA_TYPE", BROKER_UNAVAILABLE),
)
