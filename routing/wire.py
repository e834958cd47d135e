"""The one mapping between the names of routing's fields and those that API, forms and reports use."""

from __future__ import annotations

from typing import Final

RULE_NAMES: Final[dict[str, str]] = {
    "id": "ruleId",
    "operator_id": "operatorId",
    "prefix": "prefix",
    "mcc": "mcc",
    "mnc": "mnc",
    "priority": "priority",
    "weight": "weight",
    "cost_per_segment": "costPerSegment",
    "currency": "currency",
    "effective_from": "effectiveFrom",
    "effective_to": "effectiveTo",
    "active": "active",
}

DESTINATION_NAMES: Final[dict[str, str]] = {
    "id": "prefixId",
    "prefix": "prefix",
    "country": "country",
    "network": "network",
    "mcc": "mcc",
    "mnc": "mnc",
    "origin": "origin",
    "version": "version",
    "updated_by": "updatedBy",
    "updated_at": "updatedAt",
}
