"""Say what a sheet would do, line by line, before anything is done."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Final
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from operators.actors import Actor
from operators.errors import FieldProblem, InvalidPayload, OperatorNotFound, PreconditionFailed
from operators.models import Operator
from routing.imports.classifying import classify
from routing.imports.locking import lock_sheet
from routing.imports.options import SheetOptions
from routing.imports.staging import staged
from routing.imports.steps import allow_long, step
from routing.imports.uploading import NO_OPTIONS, discard_sheet, upload_sheet
from routing.models import RateSheet, RateSheetFile, SheetStatus
from routing.ratesheets.lines import ColumnMap, Defaults, UnusableSheet
from routing.ratesheets.reading import read_lines

Listener = Callable[[int], None]

_READING: Final = ("column_map", "default_currency", "default_effective_from", "is_full", "missing_end_at")


def preview_sheet(
    *,
    actor: Actor,
    sheet_id: UUID,
    column_map: ColumnMap | None = None,
    options: SheetOptions | None = None,
    on_progress: Listener | None = None,
) -> RateSheet:
    """Read the file and store every line with what it would do; can be repeated with another map or other options.

    `options` replaces all of them; an empty currency or date keeps the one that the sheet has. Progress is written to
    the sheet by the way. Raises RateSheetNotFound, PreconditionFailed for a sheet that was applied, and InvalidPayload
    on `file` when the file turns out to be unreadable half-way; the sheet then says so.
    """
    sheet = RateSheet.objects.find(sheet_id)
    with step("preview", actor=actor, operator_id=sheet.operator_id, sheet=sheet.filename):
        _refuse_closed(sheet)
        _begin(sheet, column_map, options)
        if not sheet.has_columns:
            raise InvalidPayload([FieldProblem("columnMap", " ".join(sheet.notes))])
        lines = read_lines(
            BytesIO(bytes(RateSheetFile.objects.get(sheet=sheet).content)),
            filename=sheet.filename,
            column_map=ColumnMap.from_dict(sheet.column_map),
            defaults=Defaults(currency=sheet.default_currency, effective_from=sheet.default_effective_from),
        )

        def tell(count: int) -> None:
            RateSheet.objects.filter(pk=sheet.pk).update(progress=count)
            if on_progress is not None:
                on_progress(count)

        try:
            with staged(lines, tell) as total:
                _store(sheet, total)
        except UnusableSheet as error:
            RateSheet.objects.open().filter(pk=sheet.pk).update(status=SheetStatus.FAILED, failure=str(error))
            raise InvalidPayload([FieldProblem("file", str(error))]) from None
    return sheet


@contextmanager
def trial(
    *,
    actor: Actor,
    operator_id: UUID,
    filename: str,
    content: bytes,
    column_map: ColumnMap | None = None,
    options: SheetOptions = NO_OPTIONS,
    on_progress: Listener | None = None,
) -> Iterator[RateSheet]:
    """Upload and preview in one go; unless the sheet is applied meanwhile, nothing of it is left afterwards."""
    sheet = upload_sheet(actor=actor, operator_id=operator_id, filename=filename, content=content, options=options)
    try:
        yield preview_sheet(actor=actor, sheet_id=sheet.pk, column_map=column_map, on_progress=on_progress)
    finally:
        discard_sheet(actor=actor, sheet_id=sheet.pk)


def _begin(sheet: RateSheet, column_map: ColumnMap | None, options: SheetOptions | None) -> None:
    """Take the corrections; until the preview is made, what an earlier one said is not to be applied."""
    if column_map is not None:
        sheet.column_map = column_map.as_dict()
    if options is not None:
        options.check()
        sheet.default_currency = options.currency or sheet.default_currency
        sheet.default_effective_from = options.effective_from or sheet.default_effective_from
        sheet.is_full, sheet.missing_end_at = options.is_full, options.missing_end_at
    sheet.status, sheet.failure = SheetStatus.UPLOADED, ""
    sheet.progress, sheet.total, sheet.seen_version = 0, None, None
    # Conditional: somebody else may have applied the sheet a moment ago.
    values = {name: getattr(sheet, name) for name in (*_READING, "status", "failure", "progress", "total")}
    if not RateSheet.objects.open().filter(pk=sheet.pk).update(**values, seen_version=None):
        raise PreconditionFailed("The sheet was applied or deleted meanwhile.")


def _store(sheet: RateSheet, total: int) -> None:
    """Put the classified lines in the place of earlier ones; of two previews at once the later one stands."""
    with transaction.atomic():
        allow_long()
        _refuse_closed(lock_sheet(sheet.pk))
        # The version comes before the rules: a change in between is then noticed when the sheet is applied.
        version = Operator.objects.live().filter(pk=sheet.operator_id).values_list("version", flat=True).first()
        if version is None:
            raise OperatorNotFound
        now = timezone.now()
        classify(sheet, now)
        sheet.seen_version, sheet.previewed_at = version, now
        sheet.status = SheetStatus.PREVIEWED
        sheet.progress = sheet.total = total
        sheet.save(
            update_fields=[
                *_READING,
                "status",
                "failure",
                "progress",
                "total",
                "seen_version",
                "previewed_at",
                "counts",
                "warnings",
            ]
        )


def _refuse_closed(sheet: RateSheet) -> None:
    if not sheet.is_open:
        raise PreconditionFailed(f"The sheet is {sheet.status}: upload the file again for another preview.")
