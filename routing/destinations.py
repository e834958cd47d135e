"""Every way to change a destination prefix by hand; console and REST call these.

Reference data come in by routing.prefixes. No operator is concerned, so there is no event; the entry in the audit
trail names the prefix.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import cache
from typing import Final, TypedDict
from uuid import UUID

import pycountry
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone

from operators.acting import acting
from operators.actors import Actor
from operators.audit import record_about
from operators.changes import refuse_stale
from operators.errors import FieldProblem, InvalidPayload
from operators.models import AuditAction, AuditObject
from routing.errors import DestinationNotFound, DuplicatePrefix
from routing.models import DestinationPrefix
from routing.models.destination import Origin
from routing.networks import countries_of_mcc
from routing.wire import DESTINATION_NAMES

logger = logging.getLogger(__name__)

# Kosovo has a calling code and an MCC; its two letters are the user-assigned ones that everybody uses.
KOSOVO: Final = "XK"
TOLD: Final = ("prefix", "country", "network", "mcc", "mnc")


class DestinationValues(TypedDict, total=False):
    """What callers may set, by the model's names."""

    prefix: str
    country: str
    network: str
    mcc: str
    mnc: str


def create_destination(*, actor: Actor, values: DestinationValues) -> DestinationPrefix:
    """Add a number range that the reference data do not have."""
    row = DestinationPrefix(updated_by=actor.name, updated_at=timezone.now(), **values)
    with _action(actor, "create_destination", row.pk), transaction.atomic(durable=True):
        _check(row)
        _save(row, is_new=True)
        _record(actor, AuditAction.CREATE, row, {name: ("", getattr(row, name)) for name in TOLD if getattr(row, name)})
    return row


def update_destination(
    *, actor: Actor, prefix_id: UUID, changes: DestinationValues, expected_version: int | None = None
) -> DestinationPrefix:
    """Change a row, which no reload touches from then on; without any difference nothing is written."""
    with _action(actor, "update_destination", prefix_id), transaction.atomic(durable=True):
        row = _lock(prefix_id, expected_version)
        before = {name: getattr(row, name) for name in changes}
        for name, value in changes.items():
            setattr(row, name, value)
        _check(row)
        if all(getattr(row, name) == value for name, value in before.items()):
            return row
        row.origin = Origin.STAFF
        row.version += 1
        row.updated_by, row.updated_at = actor.name, timezone.now()
        _save(row)
        after = {name: getattr(row, name) for name in before}
        _record(actor, AuditAction.UPDATE, row, {n: (old, after[n]) for n, old in before.items() if old != after[n]})
    return row


def delete_destination(*, actor: Actor, prefix_id: UUID, expected_version: int | None = None) -> DestinationPrefix:
    """Remove a row; what the reference data have comes back with the next load."""
    with _action(actor, "delete_destination", prefix_id), transaction.atomic(durable=True):
        row = _lock(prefix_id, expected_version)
        DestinationPrefix.objects.filter(pk=prefix_id).delete()
        _record(actor, AuditAction.DELETE, row, {name: (getattr(row, name), "") for name in TOLD if getattr(row, name)})
    return row


def find_destination(prefix_id: UUID) -> DestinationPrefix:
    """Read one row; raises DestinationNotFound."""
    row = DestinationPrefix.objects.filter(pk=prefix_id).first()
    if row is None:
        raise DestinationNotFound
    return row


def is_country(code: str) -> bool:
    # pycountry itself looks the case over.
    return code == KOSOVO or (code.isupper() and pycountry.countries.get(alpha_2=code) is not None)


@cache
def countries() -> tuple[tuple[str, str], ...]:
    """List all countries as (code, usual name), by name."""
    codes = (KOSOVO, *(country.alpha_2 for country in pycountry.countries))
    return tuple(sorted(((code, country_name(code)) for code in codes), key=lambda each: each[1]))


def country_name(code: str) -> str:
    """Give a country's usual name, or the code itself where it is none."""
    if code == KOSOVO:
        return "Kosovo"
    found = pycountry.countries.get(alpha_2=code)
    return str(getattr(found, "common_name", found.name)) if found else code


def _lock(prefix_id: UUID, expected_version: int | None) -> DestinationPrefix:
    row = DestinationPrefix.objects.select_for_update().filter(pk=prefix_id).first()
    if row is None:
        raise DestinationNotFound
    refuse_stale(row, expected_version, what="prefix")
    return row


def _check(row: DestinationPrefix) -> None:
    """Check every rule of single values, then what spans several; raises InvalidPayload with all of it."""
    problems: dict[str, str] = {}
    row.network = row.network.strip()
    checks: tuple[Callable[[], None], ...] = (lambda: row.clean_fields(exclude={"updated_by"}), row.clean)
    for check in checks:
        try:
            check()
        except ValidationError as error:
            problems |= {name: messages[0] for name, messages in error.message_dict.items() if name not in problems}
    if not row.network.isprintable():
        problems.setdefault("network", "The name must not contain line breaks or control characters.")
    if row.country and not is_country(row.country):
        problems.setdefault("country", "The country is a two-letter code of ISO 3166-1, such as GB.")
    elif row.country and not problems:
        claimed = countries_of_mcc(row.mcc) if row.mcc else frozenset[str]()
        if claimed and row.country not in claimed:
            problems["mcc"] = f"MCC {row.mcc} belongs to {', '.join(sorted(claimed))}, not to {row.country}."
    if problems:
        raise InvalidPayload(FieldProblem(DESTINATION_NAMES[name], message) for name, message in problems.items())


def _save(row: DestinationPrefix, *, is_new: bool = False) -> None:
    try:
        with transaction.atomic():
            row.save(force_insert=is_new)
    except IntegrityError:
        existing = DestinationPrefix.objects.filter(prefix=row.prefix).exclude(pk=row.pk).first()
        if existing is None:
            raise
        raise DuplicatePrefix(existing) from None


def _record(actor: Actor, action: AuditAction, row: DestinationPrefix, changes: dict[str, tuple[str, str]]) -> None:
    told = {DESTINATION_NAMES[name]: pair for name, pair in changes.items()}
    # The number says to people which one it is; its id would be gone with the row.
    record_about(
        AuditObject.DESTINATION,
        row.prefix,
        actor=actor,
        action=action,
        changes=told,
        at=timezone.now(),
        version=row.version,
    )


def _action(actor: Actor, action: str, prefix_id: UUID) -> AbstractContextManager[None]:
    """Wrap an action in its span and its log line."""
    return acting(
        "ops.routing.changeDestinations",
        logger=logger,
        actor=actor,
        action=action,
        done=f"{action.replace('_', ' ')} done",
        prefixId=str(prefix_id),
    )
