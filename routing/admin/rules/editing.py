"""The form that adds and changes a rule."""

from __future__ import annotations

from typing import Any, Final

from django.contrib import messages
from django.contrib.admin.utils import flatten_fieldsets
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html

from operators.admin.badges import moment
from operators.admin.base import FormPage, OperatorSelect, actor_of, parse_uuid
from operators.admin.page import answer_with
from operators.errors import OperatorError, PreconditionFailed
from operators.models import Operator
from routing import actions
from routing.admin.rules import badges
from routing.admin.rules.page import about_operator, changes_since, rule_or_404
from routing.errors import RoutingRuleConflict
from routing.forms import RuleForm
from routing.models import RoutingRule

ROUTE: Final = ("Destination", {"fields": ("operator", "prefix", ("mcc", "mnc"))})
PRICE: Final = ("Price", {"fields": (("cost_per_segment", "currency"),)})
ORDER: Final = ("Preference", {"fields": (("priority", "weight"),)})
TIME: Final = ("Time", {"fields": (("effective_from", "effective_to"), "active")})
RULE: Final = (ROUTE, PRICE, ORDER, TIME)


class EditPage(FormPage[RoutingRule]):
    """Parse the form, call one action, and show what it refused at the right field or with the rules concerned."""

    form = RuleForm

    def get_fieldsets(self, request: HttpRequest, obj: RoutingRule | None = None) -> Any:
        if obj is None:
            return (*RULE, ("This change", {"fields": ("allow_overlap", "reason")}))
        if not self.has_change_permission(request, obj):
            return RULE
        return (*RULE, ("This change", {"fields": ("allow_overlap", "reason", "expected_version")}))

    def get_readonly_fields(self, request: HttpRequest, obj: RoutingRule | None = None) -> tuple[str, ...]:
        # A rule stays with its operator: prices are not moved from carrier to carrier.
        return ("operator",) if obj else ()

    def get_form(
        self, request: HttpRequest, obj: RoutingRule | None = None, change: bool = False, **kwargs: Any
    ) -> type[RuleForm]:
        form = super().get_form(request, obj, change=change, fields=RuleForm.Meta.fields)
        assert issubclass(form, RuleForm)
        shown = set(flatten_fieldsets(self.get_fieldsets(request, obj)))
        for name in set(form.base_fields) - shown:
            del form.base_fields[name]
        if operator := form.base_fields.get("operator"):
            field = RoutingRule._meta.get_field("operator")
            operator.widget = OperatorSelect(field, self.admin_site, choices=operator.widget.choices)
        return form

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show the form, or save it through an action, which owns the transaction."""
        if object_id:
            self.refuse_outsider(request)
        rule = rule_or_404(object_id) if object_id else None
        self.refuse_stranger(request, rule)
        form_class = self.get_form(request, rule, change=rule is not None)
        if request.method != "POST":
            initial = {} if rule else {"operator": named_operator(request)}
            return self._show_form(request, form_class(instance=rule, initial=initial), rule)
        form = form_class(request.POST, instance=rule)
        if not form.is_valid():
            return self._show_form(request, form, rule)
        try:
            saved = self._save(request, form, rule)
        except OperatorError as refusal:
            return self._show_refusal(request, form, rule, refusal)
        return self._after_save(request, saved, is_new=rule is None)

    def _save(self, request: HttpRequest, form: RuleForm, rule: RoutingRule | None) -> RoutingRule:
        asked = form.cleaned_data
        if rule is None:
            return actions.create_rule(
                actor=actor_of(request),
                operator_id=asked["operator"].pk,
                values=form.values(),
                allow_overlap=asked["allow_overlap"],
                reason=asked["reason"],
            )
        return actions.update_rule(
            actor=actor_of(request),
            rule_id=rule.pk,
            changes=form.changes(),
            allow_overlap=asked["allow_overlap"],
            expected_version=asked["expected_version"],
            reason=asked["reason"],
        )

    def _show_refusal(
        self, request: HttpRequest, form: RuleForm, rule: RoutingRule | None, refusal: OperatorError
    ) -> HttpResponse:
        extra: dict[str, Any] = {}
        if isinstance(refusal, PreconditionFailed) and rule is not None:
            seen, rule = form.cleaned_data["expected_version"], rule_or_404(str(rule.pk))
            form = form.rebase(rule)
            form.add_error(None, f"{rule.updated_by} changed this rule meanwhile. Nothing was saved.")
            extra = {"meanwhile": changes_since(rule, seen)}
        else:
            form.refuse(refusal)
        if isinstance(refusal, RoutingRuleConflict):
            extra = {"conflicts": conflicts_of(refusal)}
        return answer_with(self._show_form(request, form, rule, **extra), refusal)

    def _show_form(self, request: HttpRequest, form: RuleForm, rule: RoutingRule | None, **extra: Any) -> HttpResponse:
        may_edit = rule is None or self.has_change_permission(request, rule)
        fieldsets = self.get_fieldsets(request, rule)
        readonly = self.get_readonly_fields(request, rule) if may_edit else flatten_fieldsets(fieldsets)
        return self.show_form(
            request,
            form,
            rule,
            fieldsets=fieldsets,
            readonly=readonly,
            title=f"{rule} of {rule.operator}" if rule else "Add routing rule",
            show_save_and_add_another=rule is None,
            show_save_and_continue=rule is not None and may_edit,
            **(self._about(request, rule) if rule else {}),
            **extra,
        )

    def _about(self, request: HttpRequest, rule: RoutingRule) -> dict[str, Any]:
        """Build what the page tells of the rule and of its operator beside the form."""
        return {
            "rule_badge": badges.state_badge(rule, timezone.now()),
            "changed": moment(rule.updated_at),
            **about_operator(request, rule.operator),
        }

    def _after_save(self, request: HttpRequest, rule: RoutingRule, *, is_new: bool) -> HttpResponse:
        change = reverse("admin:routing_routingrule_change", args=[rule.pk])
        link = format_html('<a href="{}">{}</a>', change, str(rule))
        if is_new:
            self.message_user(request, format_html("{} is added.", link), messages.SUCCESS)
            if not self.has_view_permission(request):
                return HttpResponseRedirect(reverse("admin:index"))
            page = "add" if "_addanother" in request.POST else "changelist"
            return HttpResponseRedirect(f"{reverse(f'admin:routing_routingrule_{page}')}?operator={rule.operator_id}")
        self.message_user(request, format_html("{} is saved.", link), messages.SUCCESS)
        if "_continue" in request.POST:
            return HttpResponseRedirect(change)
        return self.response_post_save_change(request, rule)


def named_operator(request: HttpRequest) -> Operator | None:
    """Find the operator whose list, or whose last rule, led to the form."""
    filters = QueryDict(request.GET.get("_changelist_filters", ""))
    pk = parse_uuid(request.GET.get("operator") or filters.get("operator") or "")
    return Operator.objects.live().filter(pk=pk).first() if pk else None


def conflicts_of(refusal: RoutingRuleConflict) -> list[dict[str, Any]]:
    """Build what templates/admin/routing/routingrule/conflicts.html shows."""
    return [
        {
            "finding": finding,
            "rules": [
                (rule, badges.price(rule.cost_per_segment, rule.currency), badges.window(rule))
                for rule in finding.rules
            ],
            "more": finding.total - len(finding.rules),
        }
        for finding in refusal.findings
    ]
