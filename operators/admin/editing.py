"""The form that creates and changes an operator."""

from __future__ import annotations

from typing import Any, Final

from django.contrib import admin, messages
from django.contrib.admin.utils import flatten_fieldsets
from django.db.models import Q
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.decorators import method_decorator
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.debug import sensitive_post_parameters

from operators import actions
from operators.admin import badges
from operators.admin.base import FormPage, OperatorSelect, actor_of
from operators.admin.history import changes_of
from operators.admin.merging import entries_since, rebase
from operators.admin.page import answer_with, find_operator, header_of, page_url
from operators.errors import OperatorError, PreconditionFailed, VaultUnavailable
from operators.forms import LENGTH_RULE, MODEL_FIELDS, OperatorForm
from operators.models import AuditAction, Operator
from operators.validators import password_warnings

IDENTITY: Final = ("Identity", {"fields": ("name", "tags")})
BIND: Final = (
    "Bind",
    {"fields": (("host", "port"), ("system_id", "system_type"), ("bind_type", "use_tls"))},
)
THROUGHPUT: Final = ("Throughput", {"fields": (("max_tps", "burst_multiplier", "enforcement_mode"),)})
FAILOVER: Final = ("Failover", {"fields": ("backup_operator",)})
PEOPLE: Final = ("Contacts & notes", {"fields": ("contacts", "notes")})
REASON: Final = ("This change", {"fields": ("reason", "expected_version")})


class BackupSelect(OperatorSelect):
    """Search operators, leaving out the one that is being edited."""

    def __init__(self, operator: Operator | None, *args: Any, **kwargs: Any) -> None:
        self.operator = operator
        super().__init__(*args, **kwargs)

    def get_url(self) -> str:
        url = super().get_url()
        return f"{url}?not={self.operator.pk}" if self.operator else url


class EditPage(FormPage[Operator]):
    """Parse the form, call one action, and show what it refused at the right field."""

    form = OperatorForm

    def get_fieldsets(self, request: HttpRequest, obj: Operator | None = None) -> Any:
        if obj is None:
            return (IDENTITY, BIND, ("Credential", {"fields": ("password",)}), THROUGHPUT, FAILOVER, PEOPLE)
        may_edit = self.has_change_permission(request, obj)
        may_rotate = may_edit and request.user.has_perm("operators.rotate_credential")
        credential: dict[str, Any] = {"fields": (("password", "credential") if may_rotate else ("credential",))}
        fieldsets = (IDENTITY, BIND, ("Credential", credential), THROUGHPUT, FAILOVER, PEOPLE)
        return (*fieldsets, REASON) if may_edit else fieldsets

    def get_readonly_fields(self, request: HttpRequest, obj: Operator | None = None) -> tuple[str, ...]:
        return ("credential",) if obj else ()

    @admin.display(description="Stored password")
    def credential(self, operator: Operator) -> SafeString:
        """Tell which version is valid, since when and by whom; the value itself is in Vault and stays there."""
        set_by = operator.audit_entries.filter(Q(action=AuditAction.CREATE) | Q(changes__has_key="credentials")).first()
        previous = operator.credential_previous_version
        return format_html(
            "version {}, set {}{}{}",
            operator.credential_version,
            badges.moment(operator.credential_rotated_at),
            f" by {set_by.actor}" if set_by else "",
            f"; version {previous} is kept, so that you can go back to it" if previous else "",
        )

    def get_form(
        self, request: HttpRequest, obj: Operator | None = None, change: bool = False, **kwargs: Any
    ) -> type[OperatorForm]:
        form = super().get_form(request, obj, change=change, fields=MODEL_FIELDS)
        assert issubclass(form, OperatorForm)
        shown = set(flatten_fieldsets(self.get_fieldsets(request, obj)))
        for name in set(form.base_fields) - shown:
            del form.base_fields[name]
        if password := form.base_fields.get("password"):
            password.required = obj is None
            password.help_text = LENGTH_RULE if obj is None else f"{LENGTH_RULE} Leave blank to keep the present one."
        if backup := form.base_fields.get("backup_operator"):
            field = Operator._meta.get_field("backup_operator")
            backup.widget = BackupSelect(obj, field, self.admin_site, choices=backup.widget.choices)
        return form

    def has_change_permission(self, request: HttpRequest, obj: Operator | None = None) -> bool:
        return super().has_change_permission(request, obj) and not (obj and obj.is_deleted)

    def has_delete_permission(self, request: HttpRequest, obj: Operator | None = None) -> bool:
        return super().has_delete_permission(request, obj) and not (obj and obj.is_deleted)

    @method_decorator(sensitive_post_parameters("password"))
    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show the form, or save it through an action.

        Django's own view opens a transaction around everything; here the action does, after it has asked Vault.
        """
        if object_id:
            self.refuse_outsider(request)
        operator = find_operator(object_id) if object_id else None
        self.refuse_stranger(request, operator)
        form_class = self.get_form(request, operator, change=operator is not None)
        if request.method != "POST":
            return self._show_form(request, form_class(instance=operator), operator)
        form = form_class(request.POST, instance=operator)
        if not form.is_valid():
            return self._show_form(request, form, operator)
        try:
            saved = self._save(request, form, operator)
        except OperatorError as refusal:
            return self._show_refusal(request, form, operator, refusal)
        for warning in password_warnings(form.secret) if form.secret else []:
            self.message_user(request, warning, messages.WARNING)
        return self._after_save(request, saved, is_new=operator is None)

    def _save(self, request: HttpRequest, form: OperatorForm, operator: Operator | None) -> Operator:
        if operator is None:
            assert form.secret is not None
            return actions.create_operator(actor=actor_of(request), values=form.values(), password=form.secret)
        return actions.update_operator(
            actor=actor_of(request),
            operator_id=operator.pk,
            changes=form.changes(),
            password=form.secret,
            expected_version=form.cleaned_data["expected_version"],
            reason=form.cleaned_data["reason"],
        )

    def _show_refusal(
        self, request: HttpRequest, form: OperatorForm, operator: Operator | None, refusal: OperatorError
    ) -> HttpResponse:
        meanwhile = []
        if isinstance(refusal, PreconditionFailed) and operator is not None:
            operator = find_operator(str(operator.pk))
            if entries := entries_since(operator, form.cleaned_data["expected_version"]):
                form, meanwhile = rebase(form, operator, entries), changes_of(entries)
        if meanwhile:
            form.add_error(None, "Somebody else changed this operator meanwhile. Nothing was saved.")
        elif isinstance(refusal, VaultUnavailable):
            form.add_error(None, f"Nothing was saved. {refusal} Try again in a moment, with the password typed again.")
        else:
            form.refuse(refusal)
        response = self._show_form(request, form, operator, meanwhile=meanwhile)
        return answer_with(response, refusal)

    def _show_form(
        self, request: HttpRequest, form: OperatorForm, operator: Operator | None, **extra: Any
    ) -> HttpResponse:
        may_edit = operator is None or self.has_change_permission(request, operator)
        fieldsets = self.get_fieldsets(request, operator)
        readonly = self.get_readonly_fields(request, operator) if may_edit else flatten_fieldsets(fieldsets)
        return self.show_form(
            request,
            form,
            operator,
            fieldsets=fieldsets,
            readonly=readonly,
            title="Add operator" if operator is None else operator.name,
            show_save_and_add_another=False,
            show_delete=False,
            **(header_of(request, operator) if operator else {}),
            **extra,
        )

    def _after_save(self, request: HttpRequest, operator: Operator, *, is_new: bool) -> HttpResponse:
        link = format_html('<a href="{}">{}</a>', page_url("change", operator), operator.name)
        if is_new:
            self.message_user(request, format_html("{} is created, inactive. Activate it when it is to be used.", link))
            return HttpResponseRedirect(page_url("change", operator))
        self.message_user(request, format_html("{} is saved.", link), messages.SUCCESS)
        if "_continue" in request.POST:
            return HttpResponseRedirect(page_url("change", operator))
        return self.response_post_save_change(request, operator)
