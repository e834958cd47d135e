"""What the OpenAPI 3.1 description says about the API as a whole."""

from __future__ import annotations

from typing import Any, Final

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.generators import SchemaGenerator

from config.patterns import add_patterns

DESCRIPTION: Final = """\
The system of record for the operators that an SMS platform reaches over SMPP v3.4.

Every error is `application/problem+json` (RFC 9457): look at `code`, and for `INVALID_PAYLOAD` at `errors`, which names
each wrong field and the rule it breaks. A 503 carries `Retry-After`. Passwords go in and never come out.
"""
PROBLEM: Final[dict[str, Any]] = {
    "type": "object",
    "description": "RFC 9457.",
    "required": ["type", "title", "status", "detail", "code", "instance"],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string"},
        "instance": {"type": "string"},
        "requestId": {"type": "string"},
        "traceId": {"type": "string"},
        "errors": {
            "type": "array",
            "description": "With INVALID_PAYLOAD.",
            "items": {
                "type": "object",
                "required": ["field", "message"],
                "properties": {"field": {"type": "string"}, "message": {"type": "string"}},
            },
        },
        "conflict": {
            "type": "object",
            "description": "With DUPLICATE_OPERATOR: who has the values already.",
            "required": ["operatorId", "name", "fields"],
            "properties": {
                "operatorId": {"type": "string", "format": "uuid"},
                "name": {"type": "string"},
                "fields": {"type": "array", "items": {"type": "string"}},
            },
        },
        "prefixId": {"type": "string", "format": "uuid", "description": "With DUPLICATE_PREFIX: the row that has it."},
        "conflicts": {
            "type": "array",
            "description": "With ROUTING_RULE_CONFLICT: how the rule meets others, and the first 20 of these.",
            "items": {
                "type": "object",
                "required": ["kind", "message", "total", "rules"],
                "properties": {
                    "kind": {"enum": ["EXACT", "OVERLAP", "NEVER_WINS"]},
                    "message": {"type": "string"},
                    "total": {"type": "integer"},
                    "rules": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "required": ["ruleId", "prefix", "mcc", "mnc", "priority", "effectiveFrom", "effectiveTo"],
                            "properties": {
                                "ruleId": {"type": "string", "format": "uuid"},
                                "prefix": {"type": "string"},
                                "mcc": {"type": ["string", "null"]},
                                "mnc": {"type": ["string", "null"]},
                                "priority": {"type": "integer"},
                                "effectiveFrom": {"type": ["string", "null"], "format": "date-time"},
                                "effectiveTo": {"type": ["string", "null"], "format": "date-time"},
                            },
                        },
                    },
                },
            },
        },
        "percent": {"type": "integer", "description": "With RATE_CHANGE_UNCONFIRMED: the guard's percentage."},
        "changes": {
            "type": "array",
            "description": "With RATE_CHANGE_UNCONFIRMED: the biggest changes, at most 20.",
            "items": {"$ref": "#/components/schemas/Change"},
        },
        "total": {
            "type": "integer",
            "description": "With RATE_CHANGE_UNCONFIRMED how many prices, with RATE_SHEET_TOUCHED how many rules.",
        },
        "gone": {"type": "integer", "description": "With RATE_SHEET_TOUCHED: how many rules were deleted."},
        "rules": {
            "type": "array",
            "description": "With RATE_SHEET_TOUCHED: the first rules that were changed or added, at most 20.",
            "items": {
                "type": "object",
                "required": ["ruleId", "prefix", "updatedBy"],
                "properties": {
                    "ruleId": {"type": "string", "format": "uuid"},
                    "prefix": {"type": "string"},
                    "updatedBy": {"type": "string"},
                },
            },
        },
        "accepted": {"type": "integer", "description": "With BROKER_UNAVAILABLE: how many reports are stored."},
        "pending": {
            "type": "array",
            "description": "With BROKER_UNAVAILABLE: the reports that are not known to be stored.",
            "items": {
                "type": "object",
                "required": ["index", "eventId"],
                "properties": {"index": {"type": "integer"}, "eventId": {"type": "string", "format": "uuid"}},
            },
        },
    },
}


class BearerScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "config.identity.BearerAuthentication"
    name = "bearer"

    def get_security_definition(self, auto_schema: object) -> dict[str, Any]:
        return {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "RS256 or ES256; scope ops:admin, or ops:read for GET.",
        }


class Generator(SchemaGenerator):
    """Add what holds for the whole API."""

    def get_schema(self, request: Any = None, public: bool = False) -> dict[str, Any]:
        document: dict[str, Any] = super().get_schema(request=request, public=public)  # type: ignore[no-untyped-call]
        document["info"]["description"] = DESCRIPTION
        document["info"]["license"] = {"name": "Apache-2.0", "identifier": "Apache-2.0"}
        document["servers"] = [{"url": "/"}]
        document["tags"] = [
            {"name": "Operators", "description": "Mobile network operators and aggregators."},
            {"name": "Health", "description": "What the binds report, and what staff decide about it."},
            {"name": "Destination prefixes", "description": "Which country and network a number range belongs to."},
            {"name": "Routing rules", "description": "Which operator carries which destination, and at what price."},
            {"name": "Routes", "description": "Who carries a number, and why not the others."},
            {"name": "Rate sheets", "description": "Carriers' prices, imported as a whole and taken back as a whole."},
        ]
        schemas = document["components"]["schemas"]
        for name, schema in schemas.items():
            if name.endswith("Request"):
                schema["additionalProperties"] = False
        add_patterns(document)
        schemas["Problem"] = PROBLEM
        return document
