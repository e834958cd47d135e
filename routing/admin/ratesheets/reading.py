"""How a sheet is read: the preview, its progress, and the lines that it rejects."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect, JsonResponse
from django.urls import URLPattern, path, reverse
from django.utils.decorators import method_decorator
from django.views.decorators.http import require_POST, require_safe

from operators.admin.base import actor_of
from operators.errors import OperatorError
from routing.admin.ratesheets.forms import ReadingForm
from routing.admin.ratesheets.page import sheet_or_404, sheet_url
from routing.admin.ratesheets.showing import SheetPage
from routing.imports.preview import preview_sheet
from routing.imports.uploading import discard_sheet
from routing.models import RateSheet
from routing.spreadsheet import csv_answer, harmless

REPORT: Final = ("line", "prefix", "field", "value", "reason")
# What a name in a header may hold without quoting of its own.
PLAIN: Final = re.compile(r"[^A-Za-z0-9._-]+")


class ReadingPages(SheetPage):
    def get_urls(self) -> list[URLPattern]:
        pages = [
            path(f"<path:object_id>/{name}/", self.admin_site.admin_view(view), name=f"routing_ratesheet_{name}")
            for name, view in (
                ("preview", self.preview_view),
                ("progress", self.progress_view),
                ("rejected", self.rejected_view),
                ("discard", self.discard_view),
            )
        ]
        return [*pages, *super().get_urls()]

    @method_decorator(require_POST)
    def preview_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Read the file: as the sheet's page says, or for the first time as it was guessed."""
        sheet = self._own_sheet(request, object_id)
        asked: dict[str, Any] = {}
        if "header_line" in request.POST and sheet.is_open:
            form = ReadingForm(request.POST, sheet=sheet)
            if not form.is_valid():
                return self.show(request, sheet, reading=form)
            asked = {"column_map": form.column_map, "options": form.options()}
        elif not sheet.has_columns:
            return HttpResponseRedirect(sheet_url("change", sheet))
        try:
            preview_sheet(actor=actor_of(request), sheet_id=sheet.pk, **asked)
        except OperatorError as refusal:
            return self.show(request, sheet_or_404(object_id), refusal=refusal)
        return HttpResponseRedirect(sheet_url("change", sheet))

    @method_decorator(require_safe)
    def progress_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Say how many lines are read; a browser asks twice a second while a preview is made."""
        sheet = self.visible_sheet(request, object_id)
        return JsonResponse({"status": sheet.status, "progress": sheet.progress, "total": sheet.total})

    @method_decorator(require_safe)
    def rejected_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Give the rejected lines as a table for whoever mends them, or asks the carrier to."""
        sheet = self.visible_sheet(request, object_id)
        name = PLAIN.sub("-", sheet.filename.rsplit(".", 1)[0]).strip("-.") or "sheet"
        return csv_answer(f"{name}-rejected", REPORT, _rejected_rows(sheet))

    @method_decorator(require_POST)
    def discard_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Throw away a sheet that was never applied."""
        sheet = self._own_sheet(request, object_id)
        if not discard_sheet(actor=actor_of(request), sheet_id=sheet.pk):
            self.message_user(request, "The sheet was applied, and stays on record.", messages.WARNING)
            return HttpResponseRedirect(sheet_url("change", sheet))
        self.message_user(request, f"Threw away {sheet.filename}. No price was changed.", messages.SUCCESS)
        return HttpResponseRedirect(f"{reverse('admin:routing_ratesheet_changelist')}?operator={sheet.operator_id}")

    def _own_sheet(self, request: HttpRequest, object_id: str) -> RateSheet:
        """Find the sheet for who may upload and preview."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        return self.visible_sheet(request, object_id)


def _rejected_rows(sheet: RateSheet) -> Iterator[tuple[object, ...]]:
    rows = sheet.lines.rejected().values_list(*REPORT)
    for line, *texts in rows.iterator(chunk_size=5_000):
        yield line, *(harmless(text) for text in texts)
