"""The shape of texts on the wire, for the OpenAPI description: the same name means the same thing everywhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_PREFIX: Final = r"\+[1-9][0-9]{0,14}"
_RATE: Final = r"[A-Z]{3}:[0-9]{1,12}(\.[0-9]{1,12})?"
_UUID: Final = "[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_HOST: Final = [{"format": "hostname"}, {"format": "ipv4"}, {"format": "ipv6"}]

# What a body may hold. Lengths count what is left after trimming.
FIELDS: Final[Mapping[str, Mapping[str, Any]]] = {
    "prefix": {"pattern": f"^{_PREFIX}$"},
    "mcc": {"pattern": "^[0-9]{3}$"},
    "mnc": {"pattern": "^[0-9]{2,3}$"},
    "currency": {"pattern": "^[A-Z]{3}$"},
    "country": {"pattern": "^[A-Z]{2}$"},
    "name": {"minLength": 1, "maxLength": 128, "pattern": r"\S"},
    "host": {"anyOf": _HOST},
    "systemId": {"minLength": 1, "maxLength": 15, "pattern": "^[ -~]*[!-~][ -~]*$"},
    "systemType": {"maxLength": 12, "pattern": "^[ -~]*$"},
    "password": {"minLength": 1, "maxLength": 64, "pattern": "^[ -~]*$"},
    "network": {"maxLength": 200},
    "numbers": {"items": {"type": "string", "pattern": "^[+][1-9][0-9]{3,14}$"}},
}
# What an address may hold after its question mark; an empty parameter counts as absent.
PARAMETERS: Final[Mapping[str, str]] = {
    "prefix": _PREFIX,
    "number": _PREFIX,
    "prefixStarts": r"\+([1-9][0-9]{0,14})?",
    "mcc": "[0-9]{3}",
    "mnc": "[0-9]{2,3}",
    "currency": "[A-Z]{3}",
    "country": "[A-Z]{2}",
    "rates": f"{_RATE}(,{_RATE})*",
    "effectiveFrom": "[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9:.]+(Z|[+-][0-9]{2}:[0-9]{2}))?",
    "to": "[+ ][1-9][0-9]{3,14}",
    "down": f"{_UUID}(,{_UUID})*",
}
# In these, an empty text stands for none.
MAY_BE_EMPTY: Final[Mapping[str, frozenset[str]]] = {"ManyInputRequest": frozenset({"mcc", "mnc"})}


def add_patterns(document: dict[str, Any]) -> None:
    """Say in the description what each text looks like; what needs other fields or the database stays words."""
    for name, schema in document["components"]["schemas"].items():
        if name.endswith("Request"):
            for field, facts in FIELDS.items():
                if field in schema.get("properties", {}):
                    schema["properties"][field] |= _optional(facts) if field in MAY_BE_EMPTY.get(name, ()) else facts
            if "reason" in schema.get("required", ()):
                schema["properties"]["reason"] |= {"minLength": 1, "pattern": r"\S"}
    for item in document["paths"].values():
        for operation in item.values():
            for parameter in operation.get("parameters", ()):
                if parameter["in"] == "query":
                    _describe(parameter)


def _describe(parameter: dict[str, Any]) -> None:
    is_required = parameter.get("required", False)
    if not is_required:
        parameter["allowEmptyValue"] = True
    if parameter["name"] == "effectiveAt":
        parameter["schema"]["format"] = "date-time"
    if pattern := PARAMETERS.get(parameter["name"]):
        parameter["schema"]["pattern"] = f"^{pattern}$" if is_required else f"^({pattern})?$"


def _optional(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {**facts, "pattern": f"^({facts['pattern'].strip('^$')})?$"}
