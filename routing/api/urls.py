"""The addresses of routing, under /v1/admin/ and under /v1/internal/."""

from __future__ import annotations

from django.urls import URLPattern, path

from routing.api.sheets import views as sheets

admin: list[URLPattern] = [
    path("operators/<uuid:operator_id>/rate-sheets", sheets.OperatorRateSheets.as_view(), name="operator-rate-sheets"),
    path("rate-sheets/<uuid:sheet_id>", sheets.RateSheetDetail.as_view(), name="rate-sheet"),
    path("rate-sheets/<uuid:sheet_id>/undo", sheets.RateSheetUndo.as_view(), name="rate-sheet-undo"),
]
internal: list[URLPattern] = []
