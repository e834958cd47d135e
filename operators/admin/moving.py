"""The pages that confirm a move, and the history that every move leaves."""

from __future__ import annotations

from typing import Any, Final

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.forms import Form
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.decorators import method_decorator
from django.views.decorators.debug import sensitive_post_parameters

from operators.admin.base import BoundedPaginator, TypedAdmin, actor_of
from operators.admin.history import changes_of
from operators.admin.merging import entries_since
from operators.admin.moves import MOVES, Move
from operators.admin.page import answer_with, find_operator, header_of, names_backed_up_by, page_url
from operators.errors import DuplicateOperator, OperatorError, PreconditionFailed
from operators.forms import duplicate_message
from operators.models import Operator
from operators.validators import password_warnings

HISTORY_PAGE: Final = 25


class MovePages(TypedAdmin[Operator]):
    """Explain, ask for a reason, call the move's action."""

    def get_urls(self) -> list[URLPattern]:
        pages = [
            path(
                f"<path:object_id>/{move.name}/",
                self.admin_site.admin_view(self.move_view),
                {"name": move.name},
                name=f"operators_operator_{move.name}",
            )
            for move in MOVES.values()
            if move.name != "delete"  # Django's own address for it leads to delete_view
        ]
        return [*pages, *super().get_urls()]

    @method_decorator(sensitive_post_parameters("password"))
    def move_view(self, request: HttpRequest, object_id: str, name: str) -> HttpResponse:
        """Explain a move and ask for a reason (GET), then make it (POST)."""
        move = MOVES[name]
        if not move.is_permitted(request):
            raise PermissionDenied
        operator = find_operator(object_id)
        if request.method != "POST":
            if not move.is_possible(operator):
                self.message_user(request, f"{move.label} is not possible now.", messages.WARNING)
                return HttpResponseRedirect(page_url("change", operator))
            return self._show_move(request, move, operator, move.form(initial={"expected_version": operator.version}))
        form = move.form(request.POST)
        if not form.is_valid():
            return self._show_move(request, move, operator, form)
        try:
            moved = move.run(actor=actor_of(request), operator_id=operator.pk, **form.cleaned_data)
        except OperatorError as refusal:
            return self._refuse_move(request, move, operator, form, refusal)
        for warning in password_warnings(form.cleaned_data["password"]) if "password" in form.cleaned_data else []:
            self.message_user(request, warning, messages.WARNING)
        self.message_user(request, move.done.format(moved.name), messages.SUCCESS)
        return HttpResponseRedirect(page_url("change", moved))

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Delete softly, as every other move; Django's own page would remove the row."""
        return self.move_view(request, object_id, "delete")

    def _refuse_move(
        self, request: HttpRequest, move: Move, operator: Operator, form: Form, refusal: OperatorError
    ) -> HttpResponse:
        message = duplicate_message(refusal) if isinstance(refusal, DuplicateOperator) else str(refusal)
        current = find_operator(str(operator.pk))
        meanwhile = []
        if isinstance(refusal, PreconditionFailed):
            meanwhile = changes_of(entries_since(current, form.cleaned_data["expected_version"]))
            # What happened meanwhile is on the page now, so the next click may mean it.
            form = move.form({**form.data.dict(), "expected_version": current.version, "password": ""})  # type: ignore[attr-defined]
            form.full_clean()
            form.errors.pop("password", None)
        form.add_error(None, message)
        return answer_with(self._show_move(request, move, current, form, meanwhile=meanwhile), refusal)

    def _show_move(
        self, request: HttpRequest, move: Move, operator: Operator, form: Form, **extra: Any
    ) -> TemplateResponse:
        context = {
            **self.admin_site.each_context(request),
            **header_of(request, operator),
            "opts": self.opts,
            "media": self.media + form.media,
            "title": move.title.format(operator.name),
            "original": operator,
            "move": move,
            "form": form,
            "backed_up": names_backed_up_by([operator]) if move.name == "delete" else [],
            **extra,
        }
        return TemplateResponse(request, "admin/operators/operator/move.html", context)

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the audit trail of one operator, newest first."""
        if not self.has_view_or_change_permission(request):
            raise PermissionDenied
        operator = find_operator(object_id)
        page = BoundedPaginator(operator.audit_entries.order_by("-id"), HISTORY_PAGE).get_page(request.GET.get("p"))
        context = {
            **self.admin_site.each_context(request),
            **header_of(request, operator),
            "opts": self.opts,
            "media": self.media,
            "title": f"History of {operator.name}",
            "original": operator,
            "page": page,
            "changes": changes_of(page.object_list),
        }
        return TemplateResponse(request, "admin/operators/operator/history.html", context)
