"""The examples of rate sheets in the OpenAPI description."""

from __future__ import annotations

from typing import Any, Final

from operators.api.examples import OPERATOR_ID, Problem

SHEET_ID: Final = "0a6f3d52-7c1e-4b98-9d24-6e5f8a1b3c70"
_UPLOAD: Final = f"/v1/admin/operators/{OPERATOR_ID}/rate-sheets"
_SHEET: Final = f"/v1/admin/rate-sheets/{SHEET_ID}"

CSV_TEXT: Final = "Prefix;Price;Currency;Effective date\n+4479;0,0431;EUR;01.12.2026\n+4478;0,0390;EUR;01.12.2026\n"
COLUMN_MAP: Final[dict[str, Any]] = {
    "columns": {"prefix": 0, "cost": 1, "currency": 2, "effectiveFrom": 3},
    "headerLine": 1,
    "decimalMark": ",",
    "dateOrder": "DMY",
    "titles": ["Prefix", "Price", "Currency", "Effective date"],
    "currency": "",
    "delimiter": ";",
    "sheet": "",
}
CHANGE: Final[dict[str, Any]] = {
    "line": 2,
    "prefix": "+4479",
    "mcc": None,
    "mnc": None,
    "oldCost": 0.0415,
    "oldCurrency": "EUR",
    "cost": 0.0431,
    "currency": "EUR",
    "changePercent": 3.86,
}
COUNTS: Final[dict[str, int]] = {
    "new": 1,
    "dearer": 1,
    "cheaper": 0,
    "currencyChanged": 0,
    "unchanged": 0,
    "ended": 0,
    "rejected": 1,
}
IMPORT: Final[dict[str, Any]] = {
    "sheetId": SHEET_ID,
    "operatorId": OPERATOR_ID,
    "filename": "prices-2026-12.csv",
    "rows": 3,
    "counts": COUNTS,
    "missing": 0,
    "columnMap": COLUMN_MAP,
    "notes": [],
    "largeChanges": 0,
    "biggestChanges": [CHANGE],
    "rejected": [{"line": 4, "field": "cost", "value": "n/a", "reason": "The price is not a number."}],
    "rejectedTotal": 1,
    "version": 8,
}
DRY_RUN: Final[dict[str, Any]] = IMPORT | {"sheetId": None, "version": 7}
SHEET: Final[dict[str, Any]] = {
    "sheetId": SHEET_ID,
    "operatorId": OPERATOR_ID,
    "filename": "prices-2026-12.csv",
    "size": 168,
    "sha256": "9f2c6a0f4e1d8b7a5c3e9d2f1a0b8c7d6e5f4a3b2c1d0e9f8a7b6c5d4e3f2a1b",
    "status": "APPLIED",
    "failure": "",
    "progress": 3,
    "rows": 3,
    "counts": COUNTS,
    "missing": 0,
    "notes": [],
    "uploadedBy": "alice",
    "uploadedAt": "2026-11-27T09:15:00.000000Z",
    "appliedBy": "alice",
    "appliedAt": "2026-11-27T09:15:02.000000Z",
    "appliedVersion": 8,
    "undoneBy": "",
    "undoneAt": None,
}
UNDONE: Final[dict[str, Any]] = SHEET | {
    "status": "UNDONE",
    "undoneBy": "bob",
    "undoneAt": "2026-11-27T10:00:00.000000Z",
}

_INVALID: Final = ("INVALID_PAYLOAD", "The request breaks a rule")
INVALID_FILE: Final = Problem(
    "INVALID_FILE",
    400,
    *_INVALID,
    "Look at: file.",
    {"errors": [{"field": "file", "message": "The sheet has titles, but no prices below them."}]},
    _UPLOAD,
)
UNCONFIRMED: Final = Problem(
    "UNCONFIRMED",
    409,
    "RATE_CHANGE_UNCONFIRMED",
    "Prices change so much that somebody has to confirm it",
    "1 prices change by more than 30 % or change their currency, such as +4479 from 0.041500 EUR to 0.431000 EUR "
    "(+938.55 %). Nothing was changed; confirm them if they are meant.",
    {"percent": 30, "total": 1, "changes": [CHANGE | {"cost": 0.431, "changePercent": 938.55}]},
    _UPLOAD,
)
CHANGED_MEANWHILE: Final = Problem(
    "CHANGED_MEANWHILE",
    412,
    "PRECONDITION_FAILED",
    "What was to be changed has changed meanwhile",
    "The operator is at version 8; the preview saw version 7. Nothing was changed; make the preview again.",
    {},
    _UPLOAD,
)
TOO_LARGE: Final = Problem(
    "TOO_LARGE",
    413,
    "PAYLOAD_TOO_LARGE",
    "The body is too large",
    "A rate sheet may have at most 20 MB.",
    {},
    _UPLOAD,
)
NO_SUCH_BODY: Final = Problem(
    "NO_SUCH_BODY",
    415,
    "UNSUPPORTED_MEDIA_TYPE",
    "This address takes no such body",
    'Unsupported media type "application/json" in request.',
    {},
    _UPLOAD,
)
NO_SHEET: Final = Problem(
    "NO_SHEET", 404, "NOT_FOUND", "There is nothing here", "There is no such rate sheet.", {}, _SHEET
)
TOUCHED: Final = Problem(
    "TOUCHED",
    409,
    "RATE_SHEET_TOUCHED",
    "What the rate sheet did was changed since",
    "The sheet cannot be undone as a whole: 1 rule was changed or added since (+4479 by bob). Nothing was changed.",
    {
        "total": 1,
        "gone": 0,
        "rules": [{"ruleId": "5e0c7a92-1f4b-4d3a-8c66-7b9d0e2f4a15", "prefix": "+4479", "updatedBy": "bob"}],
    },
    f"{_SHEET}/undo",
)
NOT_APPLIED: Final = Problem(
    "NOT_APPLIED",
    412,
    "PRECONDITION_FAILED",
    "What was to be changed has changed meanwhile",
    "The sheet is UNDONE; only what was applied can be undone.",
    {},
    f"{_SHEET}/undo",
)
