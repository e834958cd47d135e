"""The audit trail in words that staff use."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from django.utils.safestring import SafeString

from operators.admin.badges import moment
from operators.models import AuditAction, AuditEntry, Operator
from operators.wire import WIRE_NAMES, JSONValue

LABELS: Final = {
    **{WIRE_NAMES[field.name]: str(field.verbose_name) for field in Operator._meta.fields if field.name in WIRE_NAMES},
    "credentials": "password",
    "deletedAt": "deleted",
    "routingRules": "routing rules",
    "healthOverride": "health override",
}
# Texts that hold a moment, and then words of staff.
WINDOWS: Final = frozenset({"maintenance", "healthOverride"})
MOMENT: Final = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})T([0-9]{2}:[0-9]{2}:[0-9]{2})[.0-9]*Z")

CHOICES: Final = {
    WIRE_NAMES[field.name]: dict(field.flatchoices)
    for field in Operator._meta.fields
    if field.choices and field.name in WIRE_NAMES
}
DOORS: Final = {"console": "in the console", "api": "over the API", "command": "by a command"}


@dataclass(frozen=True)
class Difference:
    """One field before and after, ready to be shown."""

    wire: str
    label: str
    before: str
    after: str


@dataclass(frozen=True)
class Change:
    """One audit entry, ready to be shown."""

    entry: AuditEntry
    differences: list[Difference]

    @property
    def is_creation(self) -> bool:
        return self.entry.action == AuditAction.CREATE

    @property
    def what(self) -> str:
        return self.entry.get_action_display().capitalize()

    @property
    def subject(self) -> str:
        return subject_of(self.entry)

    @property
    def door(self) -> str:
        return DOORS.get(self.entry.source, self.entry.source)

    @property
    def when(self) -> SafeString:
        return moment(self.entry.at)


def changes_of(entries: Iterable[AuditEntry]) -> list[Change]:
    """Put entries into words; costs one query for the names of all backup operators in them."""
    entries = list(entries)
    names = _backup_names(entries)
    return [Change(entry, _differences(entry, names)) for entry in entries]


def subject_of(entry: AuditEntry) -> str:
    """Name what was changed: the operator, the thing of an operator, or a thing that belongs to none."""
    thing = f"{entry.get_object_type_display()} {entry.object_id}".strip() if entry.object_type else ""
    return " · ".join(part for part in (str(entry.operator or ""), thing) if part)


def label_of(wire: str) -> str:
    label = LABELS.get(wire, wire)
    return label[:1].upper() + label[1:] if label[:1].islower() and "_" not in label else label


def _differences(entry: AuditEntry, names: dict[str, str]) -> list[Difference]:
    return [
        Difference(wire, label_of(wire), _show(wire, before, names), _show(wire, after, names))
        for wire, (before, after) in sorted(entry.changes.items())
    ]


def _show(wire: str, value: JSONValue, names: dict[str, str]) -> str:
    if value is None or value == "" or value == []:
        return "—"
    if wire == "backupOperatorId":
        return names.get(str(value), str(value))
    if wire in CHOICES:
        return str(CHOICES[wire].get(value, value))
    if wire == "credentials":
        return f"version {value}"
    if wire == "deletedAt":
        return f"{str(value)[:19].replace('T', ' ')} UTC"
    if wire in WINDOWS:
        return MOMENT.sub(r"\1 \2 UTC", str(value), count=1)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(str(item) for item in value)
    return str(value)


def _backup_names(entries: list[AuditEntry]) -> dict[str, str]:
    pairs = [entry.changes.get("backupOperatorId", ()) for entry in entries]
    ids = {UUID(str(value)) for pair in pairs for value in pair if value is not None}
    if not ids:
        return {}
    return {str(pk): name for pk, name in Operator.objects.filter(pk__in=ids).values_list("pk", "name")}
