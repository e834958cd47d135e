"""The page that confirms the removal of a rule, and the way to its history."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone

from operators.admin.base import TypedAdmin, actor_of
from operators.admin.page import answer_with, page_url
from operators.errors import OperatorError, PreconditionFailed
from operators.forms import ReasonForm
from routing import actions
from routing.admin.rules import badges
from routing.admin.rules.page import about_operator, changes_since, rule_or_404
from routing.models import RoutingRule


class RemovePages(TypedAdmin[RoutingRule]):
    """Explain, ask for a reason, call the action."""

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if not self.has_delete_permission(request):
            raise PermissionDenied
        rule = rule_or_404(object_id)
        if request.method != "POST":
            return self._show_removal(request, rule, ReasonForm(initial={"expected_version": rule.version}))
        form = ReasonForm(request.POST)
        if not form.is_valid():
            return self._show_removal(request, rule, form)
        try:
            actions.delete_rule(actor=actor_of(request), rule_id=rule.pk, **form.cleaned_data)
        except OperatorError as refusal:
            return self._refuse_removal(request, rule, form, refusal)
        self.message_user(request, f"{rule} of {rule.operator} is removed.", messages.SUCCESS)
        return HttpResponseRedirect(f"{reverse('admin:routing_routingrule_changelist')}?operator={rule.operator_id}")

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Lead to the history of the operator, which tells of its rules too."""
        if not self.has_view_or_change_permission(request):
            raise PermissionDenied
        rule = rule_or_404(object_id)
        return HttpResponseRedirect(page_url("history", rule.operator))

    def _refuse_removal(
        self, request: HttpRequest, rule: RoutingRule, form: ReasonForm, refusal: OperatorError
    ) -> HttpResponse:
        current, meanwhile = rule_or_404(str(rule.pk)), []
        if isinstance(refusal, PreconditionFailed):
            meanwhile = changes_since(current, form.cleaned_data["expected_version"])
            # What happened meanwhile is on the page now, so the next click may mean it.
            form = ReasonForm({**form.cleaned_data, "expected_version": current.version})
            form.full_clean()
        form.add_error(None, str(refusal))
        return answer_with(self._show_removal(request, current, form, meanwhile=meanwhile), refusal)

    def _show_removal(
        self, request: HttpRequest, rule: RoutingRule, form: ReasonForm, **extra: Any
    ) -> TemplateResponse:
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "media": self.media + form.media,
            "title": f"Remove {rule} of {rule.operator}",
            "rule": rule,
            "price": badges.price(rule.cost_per_segment, rule.currency),
            "window": badges.window(rule),
            "rule_badge": badges.state_badge(rule, timezone.now()),
            "form": form,
            **about_operator(request, rule.operator),
            **extra,
        }
        return TemplateResponse(request, "admin/routing/routingrule/delete.html", context)
