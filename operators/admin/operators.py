"""The pages about operators: list, form, moves, history. They parse, call one action, and answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from django.contrib import admin, messages
from django.contrib.admin import helpers
from django.contrib.admin.utils import flatten_fieldsets, unquote
from django.contrib.admin.widgets import AutocompleteSelect
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Q, QuerySet
from django.forms import Form
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.decorators import method_decorator
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.views.decorators.debug import sensitive_post_parameters

from operators import actions
from operators.admin import badges
from operators.admin.base import BoundedPaginator, TypedAdmin, actor_of, parse_uuid
from operators.admin.filters import BackupFilter, ExistenceFilter, PasswordAgeFilter, TagFilter
from operators.admin.history import changes_of
from operators.admin.merging import entries_since, rebase
from operators.admin.moves import BULK_MOVES, MOVES, Move, open_moves
from operators.errors import DuplicateOperator, OperatorError, PreconditionFailed, VaultUnavailable
from operators.forms import LENGTH_RULE, MODEL_FIELDS, OperatorForm, duplicate_message
from operators.models import AuditAction, BindType, HealthState, Operator, OperatorQuerySet, Status
from operators.validators import password_warnings

MOST_AT_ONCE: Final = 200
HISTORY_PAGE: Final = 25
BIND_SHORT: Final = {BindType.TRANSCEIVER: "TRX", BindType.TRANSMITTER: "TX", BindType.RECEIVER: "RX"}

IDENTITY: Final = ("Identity", {"fields": ("name", "tags")})
BIND: Final = (
    "Bind",
    {"fields": (("host", "port"), ("system_id", "system_type"), ("bind_type", "use_tls"))},
)
THROUGHPUT: Final = ("Throughput", {"fields": (("max_tps", "burst_multiplier", "enforcement_mode"),)})
FAILOVER: Final = ("Failover", {"fields": ("backup_operator",)})
PEOPLE: Final = ("Contacts & notes", {"fields": ("contacts", "notes")})
REASON: Final = ("This change", {"fields": ("reason", "expected_version")})


class BackupSelect(AutocompleteSelect):
    """Search operators, leaving out the one that is being edited."""

    def __init__(self, operator: Operator | None, *args: Any, **kwargs: Any) -> None:
        self.operator = operator
        super().__init__(*args, **kwargs)

    def get_url(self) -> str:
        url = super().get_url()
        return f"{url}?not={self.operator.pk}" if self.operator else url


@admin.register(Operator)
class OperatorAdmin(TypedAdmin[Operator]):
    actions = tuple(BULK_MOVES)
    form = OperatorForm
    list_display = (
        "name_and_tags",
        "address",
        "system_id",
        "bind",
        "status_now",
        "health",
        "tps",
        "password_age",
        "updated",
    )
    list_filter = (
        "status",
        "health_state",
        "bind_type",
        "use_tls",
        TagFilter,
        BackupFilter,
        PasswordAgeFilter,
        ExistenceFilter,
    )
    list_per_page = 50
    ordering = ("name", "id")
    paginator = BoundedPaginator
    search_fields = ("name", "host", "system_id", "tags")
    search_help_text = "Part of a name, host or system_id, or a whole tag."
    show_facets = admin.ShowFacets.NEVER
    show_full_result_count = False
    view_on_site = False

    # --- the list ---

    @admin.display(description="name", ordering="name")
    def name_and_tags(self, operator: Operator) -> SafeString:
        return format_html('{} <span class="chips">{}</span>', operator.name, badges.chips(operator.tags))

    @admin.display(description="host and port", ordering="host")
    def address(self, operator: Operator) -> SafeString:
        # Long names may break at their dots.
        labels = format_html_join(SafeString(".<wbr>"), "{}", ((part,) for part in badges.address(operator).split(".")))
        return format_html('<span class="mono">{}</span>', labels)

    @admin.display(description="bind", ordering="bind_type")
    def bind(self, operator: Operator) -> SafeString:
        lock = SafeString('<span class="chip chip-tls">TLS</span>') if operator.use_tls else ""
        name = operator.get_bind_type_display()
        return format_html('<abbr title="{}">{}</abbr> {}', name, BIND_SHORT[operator.bind_type], lock)

    @admin.display(description="status", ordering="status")
    def status_now(self, operator: Operator) -> SafeString:
        return badges.status_badge(operator)

    @admin.display(description="health", ordering="health_state")
    def health(self, operator: Operator) -> SafeString:
        return badges.badge(operator.health_state)

    @admin.display(description="TPS", ordering="max_tps")
    def tps(self, operator: Operator) -> SafeString:
        return format_html(
            '<span class="number" title="bursts up to {} times that">{}</span>',
            operator.burst_multiplier,
            f"{operator.max_tps:,}",
        )

    @admin.display(description="password age", ordering="-credential_rotated_at")
    def password_age(self, operator: Operator) -> SafeString:
        return badges.password_age(operator)

    @admin.display(description="updated", ordering="updated_at")
    def updated(self, operator: Operator) -> SafeString:
        return badges.moment(operator.updated_at)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if not self.has_view_or_change_permission(request):
            raise PermissionDenied
        summary = None if request.method == "POST" else state_summary()
        return super().changelist_view(request, {"title": "Operators", "summary": summary, **(extra_context or {})})

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Operator], search_term: str
    ) -> tuple[QuerySet[Operator], bool]:
        assert isinstance(queryset, OperatorQuerySet)
        found = queryset.search(search_term)
        if request.resolver_match and request.resolver_match.url_name == "autocomplete":
            found = found.live()
            if other := parse_uuid(request.GET.get("not", "")):
                found = found.exclude(pk=other)
        return found, False

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Offer the bulk moves that this person may make; Django's own deletion, which removes rows, is not one."""
        return {
            name: (_bulk_action(name), name, f"{move.label} selected operators")
            for name, move in BULK_MOVES.items()
            if move.is_permitted(request)
        }

    def confirm_bulk(self, request: HttpRequest, queryset: QuerySet[Operator], name: str) -> HttpResponse | None:
        """Show whom the move touches and ask for a reason; after the confirmation make it, one by one."""
        move = BULK_MOVES[name]
        operators = list(queryset.order_by("name", "id")[: MOST_AT_ONCE + 1])
        if len(operators) > MOST_AT_ONCE:
            message = f"At most {MOST_AT_ONCE} operators at once: narrow the selection. Nothing was changed."
            self.message_user(request, message, messages.ERROR)
            return None
        able = [operator for operator in operators if move.is_possible(operator)]
        if "confirmed" in request.POST:
            return self._run_bulk(request, move, able)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "media": self.media,
            "title": f"{move.label} {len(able)} operator{'s' if len(able) != 1 else ''}",
            "move": move,
            "action_name": name,
            "able": [(operator, badges.address(operator), badges.status_badge(operator)) for operator in able],
            "unable": [operator for operator in operators if not move.is_possible(operator)],
            "backed_up": _names_backed_up_by(able) if move.name == "delete" else [],
            "checkbox_name": helpers.ACTION_CHECKBOX_NAME,
        }
        return TemplateResponse(request, "admin/operators/operator/bulk.html", context)

    def _run_bulk(self, request: HttpRequest, move: Move, operators: list[Operator]) -> HttpResponse | None:
        reason = request.POST.get("reason", "").strip()[:1000]
        done = []
        for operator in operators:
            try:
                move.run(actor=actor_of(request), operator_id=operator.pk, expected_version=None, reason=reason)
                done.append(operator.name)
            except OperatorError as refusal:
                self.message_user(request, f"{operator.name}: {refusal}", messages.ERROR)
        if done:
            self.message_user(request, f"{move.label}: done for {_enumerate(done)}.", messages.SUCCESS)
        return None

    # --- the form ---

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
        operator = self._find(object_id) if object_id else None
        self._refuse_stranger(request, operator)
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

    def _refuse_stranger(self, request: HttpRequest, operator: Operator | None) -> None:
        if operator is None:
            is_welcome = self.has_add_permission(request)
        elif request.method == "POST":
            is_welcome = self.has_change_permission(request, operator)
        else:
            is_welcome = self.has_view_or_change_permission(request, operator)
        if not is_welcome:
            raise PermissionDenied

    def _show_refusal(
        self, request: HttpRequest, form: OperatorForm, operator: Operator | None, refusal: OperatorError
    ) -> HttpResponse:
        meanwhile = []
        if isinstance(refusal, PreconditionFailed) and operator is not None:
            operator = self._find(str(operator.pk))
            if entries := entries_since(operator, form.cleaned_data["expected_version"]):
                form, meanwhile = rebase(form, operator, entries), changes_of(entries)
        if meanwhile:
            form.add_error(None, "Somebody else changed this operator meanwhile. Nothing was saved.")
        elif isinstance(refusal, VaultUnavailable):
            form.add_error(None, f"{refusal} Nothing was saved; try again in a moment, with the password typed again.")
        else:
            form.refuse(refusal)
        response = self._show_form(request, form, operator, meanwhile=meanwhile)
        return _answer_with(response, refusal)

    def _show_form(
        self, request: HttpRequest, form: OperatorForm, operator: Operator | None, **extra: Any
    ) -> HttpResponse:
        may_edit = operator is None or self.has_change_permission(request, operator)
        fieldsets = self.get_fieldsets(request, operator)
        readonly = self.get_readonly_fields(request, operator) if may_edit else flatten_fieldsets(fieldsets)
        admin_form = helpers.AdminForm(form, list(fieldsets), {}, readonly, model_admin=self)
        context = {
            **self.admin_site.each_context(request),
            "title": "Add operator" if operator is None else operator.name,
            "adminform": admin_form,
            "object_id": str(operator.pk) if operator else None,
            "original": operator,
            "is_popup": False,
            "media": self.media + admin_form.media,
            "inline_admin_formsets": [],
            "errors": helpers.AdminErrorList(form, []),
            "preserved_filters": self.get_preserved_filters(request),
            "show_save_and_add_another": False,
            "show_delete": False,
            **(self._header(request, operator) if operator else {}),
            **extra,
        }
        return self.render_change_form(
            request, context, add=operator is None, change=operator is not None, obj=operator
        )

    def _after_save(self, request: HttpRequest, operator: Operator, *, is_new: bool) -> HttpResponse:
        link = format_html('<a href="{}">{}</a>', _url("change", operator), operator.name)
        if is_new:
            self.message_user(request, format_html("{} is created, inactive. Activate it when it is to be used.", link))
            return HttpResponseRedirect(_url("change", operator))
        self.message_user(request, format_html("{} is saved.", link), messages.SUCCESS)
        if "_continue" in request.POST:
            return HttpResponseRedirect(_url("change", operator))
        return self.response_post_save_change(request, operator)

    # --- moves and history ---

    def get_urls(self) -> list[URLPattern]:
        pages = [
            path(
                f"<path:object_id>/{move.name}/",
                self.admin_site.admin_view(self.move_view),
                {"name": move.name},
                name=f"operators_operator_{move.name}",
            )
            for move in MOVES.values()
        ]
        return [*pages, *super().get_urls()]

    @method_decorator(sensitive_post_parameters("password"))
    def move_view(self, request: HttpRequest, object_id: str, name: str) -> HttpResponse:
        """Explain a move and ask for a reason (GET), then make it (POST)."""
        move = MOVES[name]
        if not move.is_permitted(request):
            raise PermissionDenied
        operator = self._find(object_id)
        if request.method != "POST":
            if not move.is_possible(operator):
                self.message_user(request, f"{move.label} is not possible now.", messages.WARNING)
                return HttpResponseRedirect(_url("change", operator))
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
        return HttpResponseRedirect(_url("change", moved))

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Delete softly, as every other move; Django's own page would remove the row."""
        return self.move_view(request, object_id, "delete")

    def _refuse_move(
        self, request: HttpRequest, move: Move, operator: Operator, form: Form, refusal: OperatorError
    ) -> HttpResponse:
        message = duplicate_message(refusal) if isinstance(refusal, DuplicateOperator) else str(refusal)
        current = self._find(str(operator.pk))
        meanwhile = []
        if isinstance(refusal, PreconditionFailed):
            meanwhile = changes_of(entries_since(current, form.cleaned_data["expected_version"]))
            # What happened meanwhile is on the page now, so the next click may mean it.
            form = move.form({**form.data.dict(), "expected_version": current.version, "password": ""})  # type: ignore[attr-defined]
            form.full_clean()
            form.errors.pop("password", None)
        form.add_error(None, message)
        return _answer_with(self._show_move(request, move, current, form, meanwhile=meanwhile), refusal)

    def _show_move(
        self, request: HttpRequest, move: Move, operator: Operator, form: Form, **extra: Any
    ) -> TemplateResponse:
        context = {
            **self.admin_site.each_context(request),
            **self._header(request, operator),
            "opts": self.opts,
            "media": self.media + form.media,
            "title": move.title.format(operator.name),
            "original": operator,
            "move": move,
            "form": form,
            "backed_up": _names_backed_up_by([operator]) if move.name == "delete" else [],
            **extra,
        }
        return TemplateResponse(request, "admin/operators/operator/move.html", context)

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the audit trail of one operator, newest first."""
        operator = self._find(object_id)
        if not self.has_view_or_change_permission(request, operator):
            raise PermissionDenied
        page = BoundedPaginator(operator.audit_entries.order_by("-id"), HISTORY_PAGE).get_page(request.GET.get("p"))
        context = {
            **self.admin_site.each_context(request),
            **self._header(request, operator),
            "opts": self.opts,
            "media": self.media,
            "title": f"History of {operator.name}",
            "original": operator,
            "page": page,
            "changes": changes_of(page.object_list),
        }
        return TemplateResponse(request, "admin/operators/operator/history.html", context)

    def _header(self, request: HttpRequest, operator: Operator) -> dict[str, Any]:
        return {
            "moves": open_moves(request, operator),
            "status_badge": badges.status_badge(operator),
            "health_badge": badges.badge(operator.health_state),
            "updated": badges.moment(operator.updated_at),
        }

    def _find(self, object_id: str) -> Operator:
        """Read one operator, deleted or not; raises Http404."""
        pk = parse_uuid(unquote(object_id))
        operator = Operator.objects.select_related("backup_operator").filter(pk=pk).first() if pk else None
        if operator is None:
            raise Http404("There is no such operator.")
        return operator


def state_summary() -> dict[str, int]:
    """Count live operators by what staff ask about; one query."""
    active = Q(status=Status.ACTIVE)
    return Operator.objects.live().aggregate(
        live=Count("pk"),
        active=Count("pk", filter=active),
        suspended=Count("pk", filter=Q(status=Status.SUSPENDED)),
        inactive=Count("pk", filter=Q(status=Status.INACTIVE)),
        unhealthy=Count("pk", filter=active & Q(health_state=HealthState.UNHEALTHY)),
        degraded=Count("pk", filter=active & Q(health_state=HealthState.DEGRADED)),
        without_backup=Count("pk", filter=active & Q(backup_operator=None)),
        old_passwords=Count("pk", filter=Q(credential_rotated_at__lt=badges.old_before())),
    )


def _bulk_action(name: str) -> Callable[[OperatorAdmin, HttpRequest, QuerySet[Operator]], HttpResponse | None]:
    return lambda pages, request, queryset: pages.confirm_bulk(request, queryset, name)


def _names_backed_up_by(operators: list[Operator]) -> list[str]:
    chosen = [operator.pk for operator in operators]
    followers = Operator.objects.live().filter(backup_operator__in=chosen).exclude(pk__in=chosen)
    return list(followers.order_by("name").values_list("name", flat=True))


def _answer_with(response: HttpResponse, refusal: OperatorError) -> HttpResponse:
    response.status_code = refusal.status
    if refusal.retry_after is not None:
        response["Retry-After"] = str(refusal.retry_after)
    return response


def _url(page: str, operator: Operator) -> str:
    return reverse(f"admin:operators_operator_{page}", args=[operator.pk])


def _enumerate(names: list[str]) -> str:
    shown = ", ".join(names[:10])
    return shown if len(names) <= 10 else f"{shown} and {len(names) - 10} more"
