"""How the OpenAPI description tells of each operation on rate sheets."""

from __future__ import annotations

import json
from functools import partial
from typing import Any, Final

from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse

from operators.api.examples import REASON_BODY
from operators.api.schema import IF_MATCH, answer_header
from operators.api.schema import operation as _operation
from operators.api.serializers import ReasonSerializer
from routing.api.sheets.examples import (
    CHANGED_MEANWHILE,
    COLUMN_MAP,
    CSV_TEXT,
    DRY_RUN,
    IMPORT,
    INVALID_FILE,
    NO_SHEET,
    NO_SUCH_BODY,
    NOT_APPLIED,
    SHEET,
    TOO_LARGE,
    TOUCHED,
    UNCONFIRMED,
    UNDONE,
)
from routing.api.sheets.parsers import CSV, FORM, XLSX
from routing.api.sheets.serializers import ImportSerializer, RateSheetSerializer

operation = partial(_operation, tag="Rate sheets")

_FILE: Final[dict[str, Any]] = {"type": "string", "format": "binary"}
_FORM: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["file"],
    "additionalProperties": False,
    "properties": {
        "file": {**_FILE, "description": "CSV or XLSX, at most 20 MB."},
        "columnMap": {
            "type": "string",
            "contentMediaType": "application/json",
            "description": "How the file is to be read, as `columnMap` of an answer has it; guessed unless given.",
        },
    },
}


def _parameter(name: str, kind: Any, description: str) -> OpenApiParameter:
    return OpenApiParameter(name, kind, OpenApiParameter.QUERY, description=description)


import_sheet = operation(
    "importRateSheet",
    "Import a rate sheet",
    "Classifies each line by the rule that is in force when it begins, and then, unless it is a dry run, applies all "
    "valid lines in one transaction: the old price ends where the new one begins, and prices that were to begin later "
    "are replaced. Rejected lines are left out and listed. It raises the operator's version once. Refused where a "
    "price changes by more than the guard's percentage, or its currency, unless confirmLargeChanges says that this is "
    "meant. A dry run answers 200 and leaves nothing behind; its version can be sent as If-Match of the import. "
    "Needs the scope ops:admin, also for a dry run.",
    status=201,
    answer=ImportSerializer,
    example=IMPORT,
    body={FORM: _FORM, CSV: _FILE, XLSX: _FILE},
    more_answers={200: OpenApiResponse(ImportSerializer, description="What would happen, after a dry run.")},
    more_examples=(
        OpenApiExample("A dry run", value=DRY_RUN, response_only=True, status_codes=["200"]),
        OpenApiExample(
            "A form with a file",
            value={"file": CSV_TEXT, "columnMap": json.dumps(COLUMN_MAP)},
            request_only=True,
            media_type=FORM,
        ),
        OpenApiExample("The file alone", value=CSV_TEXT, request_only=True, media_type=CSV),
        OpenApiExample("A workbook", value="PK...", request_only=True, media_type=XLSX),
    ),
    parameters=(
        _parameter("dryRun", bool, "Only say what would happen."),
        _parameter("confirmLargeChanges", bool, "Apply also what the guard would refuse."),
        _parameter("full", bool, "The sheet names every price: what it does not name ends at its earliest date."),
        _parameter("currency", str, "Of lines without one (ISO 4217); the last sheet's, or USD, unless given."),
        _parameter(
            "effectiveFrom",
            str,
            "Of lines without a date: a day (00:00 UTC) or a moment with its offset; now unless given.",
        ),
        _parameter("filename", str, "The file's name where the body is the file alone."),
        IF_MATCH,
        answer_header("Location", "The address of the import.", 201),
    ),
    errors=(INVALID_FILE, "NOT_FOUND", UNCONFIRMED, CHANGED_MEANWHILE, TOO_LARGE, NO_SUCH_BODY),
)
read_sheet = operation(
    "readRateSheet",
    "Read how an import is getting on",
    "Status, progress and figures; who applied and undid it.",
    answer=RateSheetSerializer,
    example=SHEET,
    errors=("INVALID_PARAMETER", NO_SHEET),
)
undo_sheet = operation(
    "undoRateSheet",
    "Undo an import",
    "Deletes the rules that it made and restores those that it ended; raises the operator's version once. Refused "
    "when any of them was changed since. Of several imports, the last one is undone first.",
    answer=RateSheetSerializer,
    example=UNDONE,
    body=ReasonSerializer,
    body_example=REASON_BODY,
    errors=("INVALID_PAYLOAD", NO_SHEET, TOUCHED, NOT_APPLIED, "PAYLOAD_TOO_LARGE", "UNSUPPORTED_MEDIA_TYPE"),
)
