"""Take a file in, or throw one away that was never applied."""

from __future__ import annotations

import hashlib
import re
from datetime import datetime, timedelta
from io import BytesIO
from typing import Final
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from operators.actors import Actor, Source
from operators.audit import record_about
from operators.errors import FieldProblem, InvalidPayload
from operators.models import AuditAction, AuditObject, Operator
from routing import metrics
from routing.imports.options import SheetOptions
from routing.imports.profiles import remembered_currency, remembered_map
from routing.models import RateSheet, RateSheetFile
from routing.models.ratesheet import RateSheetQuerySet
from routing.ratesheets.limits import MOST_BYTES
from routing.ratesheets.lines import ColumnMap, Survey, UnknownTitles, UnusableSheet
from routing.ratesheets.reading import survey

RETENTION: Final = Actor("retention", Source.COMMAND)
KEPT_UNAPPLIED: Final = timedelta(days=7)
CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
NO_OPTIONS: Final = SheetOptions()


def upload_sheet(
    *, actor: Actor, operator_id: UUID, filename: str, content: bytes, options: SheetOptions = NO_OPTIONS
) -> RateSheet:
    """Store a file for an operator, with a first guess at its columns; the next step is the preview.

    `has_columns` of the sheet tells whether the guess is of any use; if not, the preview needs a map. Raises
    OperatorNotFound, and InvalidPayload on `file` for what no sheet can be read from.
    """
    operator = Operator.objects.find(operator_id)
    options.check()
    now = timezone.now()
    prune_sheets(now)
    name = shown_name(filename)
    first_look = _survey(operator_id, content, name)
    sheet = RateSheet(
        operator=operator,
        filename=name,
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        column_map=first_look.column_map.as_dict(),
        titles=list(first_look.titles),
        sample=[list(row) for row in first_look.sample],
        notes=list(first_look.notes),
        default_currency=options.currency or remembered_currency(operator_id),
        default_effective_from=options.effective_from or now.replace(microsecond=0),
        is_full=options.is_full,
        missing_end_at=options.missing_end_at,
        uploaded_by=actor.name,
        uploaded_source=actor.source.value,
        uploaded_at=now,
    )
    with transaction.atomic():
        sheet.save(force_insert=True)
        RateSheetFile.objects.create(sheet=sheet, content=content)
        _record(actor, AuditAction.UPLOAD_RATE_SHEET, sheet, ("", sheet.filename), now)
    return sheet


def discard_sheet(*, actor: Actor, sheet_id: UUID) -> bool:
    """Delete a sheet that was never applied, with its file and lines; tell whether there was one."""
    return bool(_delete(RateSheet.objects.open().filter(pk=sheet_id), actor, timezone.now()))


def prune_sheets(now: datetime) -> None:
    """Delete what was uploaded more than a week ago and never applied."""
    _delete(RateSheet.objects.open().filter(uploaded_at__lt=now - KEPT_UNAPPLIED), RETENTION, now)


def _delete(sheets: RateSheetQuerySet, actor: Actor, now: datetime) -> int:
    with transaction.atomic():
        # Locked, so that none is applied between the entry and the deletion.
        doomed = list(sheets.select_for_update(of=("self",)).select_related("operator").order_by("pk"))
        RateSheet.objects.filter(pk__in=[sheet.pk for sheet in doomed]).delete()
        for sheet in doomed:
            _record(actor, AuditAction.DISCARD_RATE_SHEET, sheet, (sheet.filename, ""), now)
    return len(doomed)


def _record(actor: Actor, action: AuditAction, sheet: RateSheet, file: tuple[str, str], now: datetime) -> None:
    record_about(
        AuditObject.RATE_SHEET,
        sheet.pk,
        actor=actor,
        action=action,
        changes={"file": file},
        at=now,
        operator_id=sheet.operator_id,
        version=sheet.operator.version,
    )


def shown_name(filename: str) -> str:
    """Reduce what a browser sends as the file's name to the name alone."""
    return CONTROL.sub("", re.split(r"[/\\]", filename)[-1]).strip()[-255:] or "rate sheet"


def _survey(operator_id: UUID, content: bytes, filename: str) -> Survey:
    """Look at the file; where no title says what is what, the map has no columns and staff have to name them."""
    try:
        if len(content) > MOST_BYTES:
            raise UnusableSheet(f"The file may have at most {MOST_BYTES // 1024**2} MB.")
        return survey(BytesIO(content), filename=filename, remembered=remembered_map(operator_id))
    except UnknownTitles as unknown:
        blank = ColumnMap({}, header_line=unknown.header_line, titles=unknown.titles)
        return Survey(blank, unknown.titles, unknown.sample, (str(unknown),))
    except UnusableSheet as error:
        metrics.rate_sheets.labels("refused").inc()
        raise InvalidPayload([FieldProblem("file", str(error))]) from None
