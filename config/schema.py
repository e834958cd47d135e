"""What the OpenAPI 3.1 description says about the API as a whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.generators import SchemaGenerator

from config.patterns import add_patterns
from config.problems import INTERNAL_URLCONF

DESCRIPTION: Final = """\
The system of record for the operators that an SMS platform reaches over SMPP v3.4.

Every error is `application/problem+json` (RFC 9457): look at `code`, and for `INVALID_PAYLOAD` at `errors`, which names
each wrong field and the rule it breaks. A 503 carries `Retry-After`. Passwords go in and never come out.
"""
INTERNAL_DESCRIPTION: Final = """\
What smpp-connector and routing-engine ask of the operator management service, over mutual TLS.

Each address names the services that may call it: the certificate tells which one calls, and no token counts. Every
error is `application/problem+json` (RFC 9457): look at `code`. A 503 carries `Retry-After`.
"""
METHODS: Final = ("get", "post", "put", "patch", "delete")
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
    },
}


# What the internal API's problems may carry besides; of the above it knows no more than the wrong fields.
REPORTS_PENDING: Final[dict[str, Any]] = {
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
}
INTERNAL_PROBLEM: Final[dict[str, Any]] = PROBLEM | {
    "properties": {
        **{name: PROBLEM["properties"][name] for name in (*PROBLEM["required"], "requestId", "traceId", "errors")},
        **REPORTS_PENDING,
    }
}
NOT_KNOWN: Final = "Present a client certificate."
NOT_ALLOWED: Final = "This address is not for this caller."


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


class MutualTlsScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "operators.api.peers.PeerAuthentication"
    name = "mutualTLS"

    def get_security_definition(self, auto_schema: object) -> dict[str, Any]:
        return {
            "type": "mutualTLS",
            "description": "A client certificate whose one URI name, a SPIFFE id, is on the list of callers.",
        }


class Generator(SchemaGenerator):
    """Add what holds for the whole admin API."""

    addresses = "config.urls"
    words = DESCRIPTION
    problem = PROBLEM
    tags: Sequence[dict[str, str]] = (
        {"name": "Operators", "description": "Mobile network operators and aggregators."},
        {"name": "Health", "description": "What the binds report, and what staff decide about it."},
        {"name": "Destination prefixes", "description": "Which country and network a number range belongs to."},
        {"name": "Routing rules", "description": "Which operator carries which destination, and at what price."},
        {"name": "Routes", "description": "Who carries a number, and why not the others."},
        {"name": "Rate sheets", "description": "Carriers' prices, imported as a whole and taken back as a whole."},
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["urlconf"] = kwargs.get("urlconf") or self.addresses
        super().__init__(*args, **kwargs)  # type: ignore[no-untyped-call]

    def get_schema(self, request: Any = None, public: bool = False) -> dict[str, Any]:
        document: dict[str, Any] = super().get_schema(request=request, public=public)  # type: ignore[no-untyped-call]
        document["info"]["description"] = self.words
        document["info"]["license"] = {"name": "Apache-2.0", "identifier": "Apache-2.0"}
        document["servers"] = [{"url": "/"}]
        document["tags"] = list(self.tags)
        schemas = document["components"]["schemas"]
        for name, schema in schemas.items():
            if name.endswith("Request"):
                schema["additionalProperties"] = False
        add_patterns(document)
        schemas["Problem"] = self.problem
        return document


class InternalGenerator(Generator):
    """Describe the internal API in a document of its own: other callers, other proof of who they are."""

    addresses = INTERNAL_URLCONF
    words = INTERNAL_DESCRIPTION
    problem = INTERNAL_PROBLEM
    tags: Sequence[dict[str, str]] = (
        {"name": "Operators", "description": "What a service needs to know of them."},
        {"name": "Health", "description": "What the binds report."},
        {"name": "Routes", "description": "Who carries a number, and why not the others."},
    )

    def get_schema(self, request: Any = None, public: bool = False) -> dict[str, Any]:
        document = super().get_schema(request=request, public=public)
        document["info"]["title"] += ": internal API"
        for operation in operations(document):
            # Operations are described in the same words for both APIs, tokens and all.
            parameters = [each for each in operation.pop("parameters", ()) if each["name"] != "X-Admin-Id"]
            operation |= {"parameters": parameters} if parameters else {}
            if "requestBody" in operation:
                operation["requestBody"]["required"] = True
            for status, detail in (("401", NOT_KNOWN), ("403", NOT_ALLOWED)):
                for media in operation["responses"][status]["content"].values():
                    for example in media["examples"].values():
                        example["value"] = example["value"] | {"detail": detail}
        used = {tag for operation in operations(document) for tag in operation["tags"]}
        document["tags"] = [tag for tag in document["tags"] if tag["name"] in used]
        return document


def operations(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for item in document["paths"].values():
        yield from (item[method] for method in METHODS if method in item)
