"""Apply a sheet, and take it back."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.decorators import method_decorator
from django.views.decorators.http import require_http_methods, require_POST

from operators.admin.base import actor_of
from operators.admin.page import answer_with
from operators.errors import OperatorError
from routing.admin.ratesheets import badges, wording
from routing.admin.ratesheets.forms import ApplyForm, ConfirmForm, UndoForm
from routing.admin.ratesheets.lines import Shown
from routing.admin.ratesheets.page import sheet_or_404, sheet_url
from routing.admin.ratesheets.showing import SheetPage
from routing.admin.rules.page import about_operator
from routing.errors import RateChangeUnconfirmed, RateSheetTouched
from routing.imports.applying import apply_sheet
from routing.imports.undoing import undo_sheet
from routing.models import RateSheet, SheetStatus


class DecisionPages(SheetPage):
    def get_urls(self) -> list[URLPattern]:
        pages = [
            path(f"<path:object_id>/{name}/", self.admin_site.admin_view(view), name=f"routing_ratesheet_{name}")
            for name, view in (("apply", self.apply_view), ("undo", self.undo_view))
        ]
        return [*pages, *super().get_urls()]

    @method_decorator(require_POST)
    def apply_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Apply the preview that the page showed; where prices move far, ask once more first."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        sheet = sheet_or_404(object_id)
        is_second = "confirming" in request.POST
        form = (ConfirmForm if is_second else ApplyForm)(request.POST)
        if not form.is_valid() and set(form.errors) != {"confirm"}:
            return self.show(request, sheet, applying=form)
        try:
            applied = apply_sheet(
                actor=actor_of(request),
                sheet_id=sheet.pk,
                seen_preview=form.cleaned_data["seen"],
                confirm_large_changes=is_second and form.is_valid(),
                reason=form.cleaned_data["reason"],
                may_add=request.user.has_perm("routing.add_routingrule"),
                may_change=request.user.has_perm("routing.change_routingrule"),
            )
        except RateChangeUnconfirmed as refusal:
            return self._ask_again(request, sheet, form, refusal)
        except OperatorError as refusal:
            return self.show(request, sheet_or_404(object_id), refusal=refusal)
        self.message_user(request, f"Applied {applied.filename}: {wording.done(applied)}", messages.SUCCESS)
        return HttpResponseRedirect(sheet_url("change", applied))

    @method_decorator(require_http_methods(["GET", "HEAD", "POST"]))
    def undo_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Explain what undoing does and ask for a reason (GET), then do it (POST)."""
        if not self.may_undo(request):
            raise PermissionDenied
        sheet = sheet_or_404(object_id)
        if sheet.status != SheetStatus.APPLIED:
            self.message_user(request, "Only an import that is applied can be undone.", messages.WARNING)
            return HttpResponseRedirect(sheet_url("change", sheet))
        if request.method != "POST":
            return self._show_undo(request, sheet, UndoForm())
        form = UndoForm(request.POST)
        if not form.is_valid():
            return self._show_undo(request, sheet, form)
        try:
            undone = undo_sheet(actor=actor_of(request), sheet_id=sheet.pk, reason=form.cleaned_data["reason"])
        except OperatorError as refusal:
            form.add_error(None, str(refusal))
            touched = refusal if isinstance(refusal, RateSheetTouched) else None
            return answer_with(self._show_undo(request, sheet, form, touched=touched), refusal)
        message = f"The import of {undone.filename} is undone: the prices are as they were before."
        self.message_user(request, message, messages.SUCCESS)
        return HttpResponseRedirect(sheet_url("change", undone))

    def _ask_again(
        self, request: HttpRequest, sheet: RateSheet, form: ApplyForm, refusal: RateChangeUnconfirmed
    ) -> HttpResponse:
        """List the biggest changes; only here a box says that they are meant."""
        if not isinstance(form, ConfirmForm):
            form = ConfirmForm(initial={name: form[name].value() for name in ("reason", "seen")})
        return self._answer(
            request,
            sheet,
            "confirm",
            {
                "title": "Are these changes meant?",
                "form": form,
                "percent": refusal.members["percent"],
                "total": refusal.total,
                "biggest": [Shown(line) for line in refusal.biggest],
                "more": refusal.total - len(refusal.biggest),
                "promise": wording.promise(sheet, sheet.lines.filter(writes=True).count()),
            },
            refusal,
        )

    def _show_undo(
        self, request: HttpRequest, sheet: RateSheet, form: UndoForm, *, touched: RateSheetTouched | None = None
    ) -> HttpResponse:
        context = {"title": "Undo this import", "form": form, "touched": touched, "done": wording.done(sheet)}
        return self._answer(request, sheet, "undo", context)

    def _answer(
        self,
        request: HttpRequest,
        sheet: RateSheet,
        name: str,
        context: dict[str, Any],
        refusal: OperatorError | None = None,
    ) -> HttpResponse:
        common = {
            **self.admin_site.each_context(request),
            **about_operator(request, sheet.operator),
            "opts": self.opts,
            "media": self.media,
            "sheet": sheet,
            "status": badges.status_badge(sheet),
        }
        response = TemplateResponse(request, f"admin/routing/ratesheet/{name}.html", {**common, **context})
        return answer_with(response, refusal) if refusal else response
