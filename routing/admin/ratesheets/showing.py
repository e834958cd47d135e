"""The page of one sheet: how it is read, what it would do or did."""

from __future__ import annotations

from typing import Any, Final

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils.decorators import method_decorator
from django.views.decorators.http import require_safe

from operators.admin.badges import moment
from operators.admin.base import TypedAdmin
from operators.admin.page import answer_with, page_url
from operators.errors import OperatorError
from routing.admin.ratesheets import badges, wording
from routing.admin.ratesheets.forms import ApplyForm, ReadingForm
from routing.admin.ratesheets.lines import Shown, biggest_changes, chosen_kind, lines_page, tiles
from routing.admin.ratesheets.page import sheet_or_404
from routing.admin.rules.page import about_operator
from routing.models import RateSheet, SheetStatus

# Of the others, what an earlier preview said does not count any more.
WITH_LINES: Final = (SheetStatus.PREVIEWED, SheetStatus.APPLIED, SheetStatus.UNDONE)


class SheetPage(TypedAdmin[RateSheet]):
    """Show a sheet; what staff do with it has addresses of its own, which answer with this page when they refuse."""

    @method_decorator(require_safe)
    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        return self.show(request, self.visible_sheet(request, object_id))

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Lead to the operator's history: it tells of imports too."""
        return HttpResponseRedirect(page_url("history", self.visible_sheet(request, object_id).operator))

    def visible_sheet(self, request: HttpRequest, object_id: str) -> RateSheet:
        if not self.has_view_or_change_permission(request):
            raise PermissionDenied
        return sheet_or_404(object_id)

    def may_undo(self, request: HttpRequest) -> bool:
        return request.user.has_perm("routing.undo_ratesheet") and self.has_view_permission(request)

    def _may_apply(self, request: HttpRequest, sheet: RateSheet) -> bool:
        """Ask for the right to import, and for the rights on rules that what the preview saw needs."""
        may_add = not sheet.adds_rules or request.user.has_perm("routing.add_routingrule")
        may_change = not sheet.changes_rules or request.user.has_perm("routing.change_routingrule")
        return self.has_add_permission(request) and may_add and may_change

    def show(
        self,
        request: HttpRequest,
        sheet: RateSheet,
        *,
        reading: ReadingForm | None = None,
        applying: ApplyForm | None = None,
        refusal: OperatorError | None = None,
    ) -> HttpResponse:
        """Build the page, with the forms that this person may use; the same number of queries whatever is on it."""
        may_read = sheet.is_open and self.has_add_permission(request)
        may_apply = sheet.status == SheetStatus.PREVIEWED and sheet.accepted and self._may_apply(request, sheet)
        context = {
            **self.admin_site.each_context(request),
            **about_operator(request, sheet.operator),
            "opts": self.opts,
            "media": self.media,
            "title": f"Rate sheet {sheet.filename}",
            "sheet": sheet,
            "status": badges.status_badge(sheet),
            "uploaded": moment(sheet.uploaded_at),
            "previewed": moment(sheet.previewed_at),
            "applied": moment(sheet.applied_at),
            "undone": moment(sheet.undone_at),
            "refusal": refusal,
            "columns": _columns(sheet),
            "understood": wording.understood(sheet),
            "reading": (reading or ReadingForm(sheet=sheet)) if may_read else None,
            "may_undo": sheet.status == SheetStatus.APPLIED and self.may_undo(request),
            **(self._lines(request, sheet) if sheet.status in WITH_LINES else {}),
        }
        if may_apply:
            seen = sheet.previewed_at.isoformat() if sheet.previewed_at else ""
            context["applying"] = applying or ApplyForm(initial={"seen": seen})
            context["promise"] = wording.promise(sheet, sheet.lines.filter(writes=True).count())
        response = TemplateResponse(request, "admin/routing/ratesheet/sheet.html", context)
        return answer_with(response, refusal) if refusal else response

    def _lines(self, request: HttpRequest, sheet: RateSheet) -> dict[str, Any]:
        kind = chosen_kind(request, sheet)
        page = lines_page(request, sheet, kind)
        return {
            "tiles": tiles(sheet, kind),
            "kind": kind,
            "kind_label": wording.KINDS[kind],
            "page": page,
            "lines": [Shown(line) for line in page.object_list],
            "biggest": biggest_changes(sheet),
            "missing": wording.missing(sheet) if sheet.status == SheetStatus.PREVIEWED else "",
            "done": wording.done(sheet),
        }


def _columns(sheet: RateSheet) -> list[tuple[str, str]]:
    """List what each column was read as, for who may not choose it."""
    held = {index: name for name, index in sheet.column_map.get("columns", {}).items()}
    return [
        (title or f"Column {index + 1}", wording.COLUMNS.get(held.get(index, ""), "not used"))
        for index, title in enumerate(sheet.titles)
    ]
