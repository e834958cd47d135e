"""The API of rate sheets: parse, call one action, answer."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from operators.api.filters import refuse_unknown
from operators.api.preconditions import expected_version
from operators.api.serializers import ReasonSerializer
from operators.api.views import AdminView, read
from operators.errors import FieldProblem, InvalidPayload, PreconditionFailed
from routing.api.sheets import schema
from routing.api.sheets.parameters import Parameters, read_parameters
from routing.api.sheets.parsers import CSV, CsvParser, FormParser, SentSheet, XlsxParser, refuse_large
from routing.api.sheets.serializers import ImportSerializer, RateSheetSerializer
from routing.imports.applying import apply_sheet
from routing.imports.preview import trial
from routing.imports.report import figures
from routing.imports.undoing import undo_sheet
from routing.models import RateSheet

MOST_REJECTED: Final = 1_000


class OperatorRateSheets(AdminView):
    """Preview and import in one request; a sheet that is not applied leaves nothing behind."""

    parser_classes = (FormParser, CsvParser, XlsxParser)
    takes_files = True

    @schema.import_sheet
    def post(self, request: Request, operator_id: UUID) -> Response:
        asked = read_parameters(request)
        seen = expected_version(request)
        refuse_large(request)
        sent = sent_sheet(request, asked)
        with trial(
            actor=self.actor,
            operator_id=operator_id,
            filename=sent.filename,
            content=sent.content,
            column_map=sent.column_map,
            options=asked.options,
        ) as sheet:
            if seen is not None and sheet.seen_version != seen:
                raise PreconditionFailed(f"The operator is at version {sheet.seen_version}, not {seen}.")
            if asked.is_dry_run:
                return Response(as_answer(sheet))
            sheet = apply_sheet(actor=self.actor, sheet_id=sheet.pk, confirm_large_changes=asked.confirm_large_changes)
        location = reverse("rate-sheet", kwargs={"sheet_id": sheet.pk})
        return Response(as_answer(sheet), status=status.HTTP_201_CREATED, headers={"Location": location})


class RateSheetDetail(AdminView):
    @schema.read_sheet
    def get(self, request: Request, sheet_id: UUID) -> Response:
        refuse_unknown(request, frozenset())
        return Response(RateSheetSerializer(RateSheet.objects.find(sheet_id)).data)


class RateSheetUndo(AdminView):
    @schema.undo_sheet
    def post(self, request: Request, sheet_id: UUID) -> Response:
        refuse_unknown(request, frozenset())
        reason = read(ReasonSerializer(data=request.data)).get("reason", "")
        return Response(RateSheetSerializer(undo_sheet(actor=self.actor, sheet_id=sheet_id, reason=reason)).data)


def sent_sheet(request: Request, asked: Parameters) -> SentSheet:
    """Return the file with its name; a form tells it, for another body the parameter or its media type does."""
    sent: object = request.data
    if not isinstance(sent, SentSheet):
        # REST framework reads no body of length 0.
        raise InvalidPayload([FieldProblem("file", "The request has no file.")])
    if sent.filename and asked.filename:
        raise InvalidPayload([FieldProblem("filename", "The form tells the file's name.")])
    media_type = (request.content_type or "").partition(";")[0].strip().lower()
    fallback = "rate-sheet.csv" if media_type == CSV else "rate-sheet.xlsx"
    return SentSheet(sent.content, sent.filename or asked.filename or fallback, sent.column_map)


def as_answer(sheet: RateSheet) -> dict[str, Any]:
    rejected = sheet.lines.rejected()
    found = {
        "sheetId": None if sheet.is_open else sheet.pk,
        "operatorId": sheet.operator_id,
        "filename": sheet.filename,
        **figures(sheet),
        "rejected": [line.as_rejected() for line in rejected[:MOST_REJECTED]],
        "rejectedTotal": sheet.kinds()["rejected"],
        "version": sheet.seen_version if sheet.is_open else sheet.applied_version,
    }
    return dict(ImportSerializer(found).data)
