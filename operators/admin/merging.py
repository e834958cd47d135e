"""Two people edited the same operator: keep both where they touched different fields, ask where they did not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from django.http import QueryDict

from operators.admin.history import label_of
from operators.forms import FORM_FIELDS, MODEL_FIELDS, OperatorForm
from operators.models import AuditEntry, Operator
from operators.wire import JSONValue, wire_value

ATTRIBUTES: Final = {wire: name for wire, name in FORM_FIELDS.items() if name in MODEL_FIELDS}


def entries_since(operator: Operator, version: int) -> list[AuditEntry]:
    """List what happened to an operator after the version that a page showed, newest first."""
    return list(operator.audit_entries.filter(version__gt=version).order_by("-id"))


def rebase(form: OperatorForm, current: Operator, entries: Sequence[AuditEntry]) -> OperatorForm:
    """Build the form anew on the current row: others' values where this person typed nothing, and theirs elsewhere.

    Saving it again is then a deliberate act on what the page shows. The password is never carried over.
    """
    assert isinstance(form.data, QueryDict)
    data = form.data.copy()
    data["expected_version"] = str(current.version)
    seen: dict[str, JSONValue] = {}
    for entry in entries:  # newest first, so that the oldest value wins: the one that the page showed
        seen |= {wire: before for wire, (before, _) in entry.changes.items() if wire in ATTRIBUTES}
    fresh = type(form)(instance=current)
    contested = []
    for wire, before in seen.items():
        name = ATTRIBUTES[wire]
        typed = _typed(form, name)
        if typed == _typed(fresh, name):
            continue
        if typed == before:
            _take_over(data, fresh, name)
        else:
            contested.append((name, wire))
    rebased = type(form)(data, instance=current)
    rebased.full_clean()
    for name, wire in contested:
        rebased.add_error(
            name if name in rebased.fields else None,
            f"{label_of(wire)} was changed by somebody else meanwhile. Your value is kept here; see above for theirs.",
        )
    return rebased


def _typed(form: OperatorForm, name: str) -> JSONValue:
    return wire_value(getattr(form.instance, "backup_operator_id" if name == "backup_operator" else name))


def _take_over(data: QueryDict, fresh: OperatorForm, name: str) -> None:
    """Put the current value into the submitted data, in the form in which a browser would send it."""
    value = fresh[name].value()
    if isinstance(value, bool):
        data.pop(name, None)
        if value:
            data[name] = "on"
    else:
        data[name] = "" if value is None else str(value)
