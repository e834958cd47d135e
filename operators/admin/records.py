"""What staff may read and nobody edits: the audit trail, the outbox, the runs of the legacy migration."""

from __future__ import annotations

import json

from django.contrib import admin, messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from operators.admin import badges
from operators.admin.base import ReadOnlyAdmin, parse_uuid
from operators.admin.filters import ActorFilter, DeliveryFilter, SourceFilter, SubjectFilter, WhenFilter
from operators.admin.history import changes_of, label_of, subject_of
from operators.admin.naming import OperatorNamedAdmin
from operators.models import AuditEntry, LegacyRow, LegacyRun, OutboxEvent, OutboxQuerySet


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin[AuditEntry]):
    fields = (
        "at",
        "subject",
        "version",
        "action",
        "actor",
        "source",
        "reason",
        "differences",
        "trace_id",
        "sequence",
        "previous_hash",
        "hash",
    )
    readonly_fields = fields
    list_display = ("moment", "subject", "action", "fields_changed", "actor", "source", "reason")
    list_filter = ("action", "object_type", ActorFilter, SourceFilter, ("at", WhenFilter))
    list_select_related = ("operator",)
    ordering = ("-id",)
    search_fields = ("operator__name", "object_id", "actor", "reason")
    search_help_text = "Part of an operator's name, of what was changed, of who did it, or of the reason."

    @admin.display(description="when", ordering="id")
    def moment(self, entry: AuditEntry) -> SafeString:
        return badges.moment(entry.at)

    @admin.display(description="what", ordering="operator")
    def subject(self, entry: AuditEntry) -> str:
        return subject_of(entry)

    @admin.display(description="fields")
    def fields_changed(self, entry: AuditEntry) -> str:
        return ", ".join(label_of(wire) for wire in sorted(entry.changes)) if entry.action != "create" else "all"

    @admin.display(description="changes")
    def differences(self, entry: AuditEntry) -> SafeString:
        (change,) = changes_of([entry])
        return render_to_string(
            "admin/operators/diff.html", {"differences": change.differences, "only_new": change.is_creation}
        )


@admin.register(OutboxEvent)
class OutboxEventAdmin(OperatorNamedAdmin[OutboxEvent]):
    actions = ("publish_again",)
    fields = (
        "delivery",
        "subject",
        "event_id",
        "operator_link",
        "version",
        "created_at",
        "published_at",
        "stream",
        "stream_sequence",
        "attempts",
        "available_at",
        "parked_at",
        "last_error",
        "body",
        "traceparent",
    )
    readonly_fields = fields
    list_display = (
        "id",
        "delivery",
        "subject",
        "operator_link",
        "version",
        "created",
        "published",
        "attempts",
        "last_error",
    )
    list_filter = (DeliveryFilter, SubjectFilter, ("created_at", WhenFilter))
    ordering = ("-id",)
    search_fields = ("operator_id__exact", "event_id__exact")
    search_help_text = "An operator ID or an event ID."

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[OutboxEvent], search_term: str
    ) -> tuple[QuerySet[OutboxEvent], bool]:
        if not (term := search_term.strip()):
            return queryset, False
        if (pk := parse_uuid(term)) is None:
            return queryset.none(), False
        return queryset.filter(Q(operator_id=pk) | Q(event_id=pk)), False

    def has_publish_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("operators.change_outboxevent")

    @admin.display(description="delivery")
    def delivery(self, event: OutboxEvent) -> SafeString:
        if event.published_at:
            return badges.badge("PUBLISHED")
        return badges.badge("PARKED" if event.parked_at else "PENDING")

    @admin.display(description="created", ordering="id")
    def created(self, event: OutboxEvent) -> SafeString:
        return badges.moment(event.created_at)

    @admin.display(description="published", ordering="published_at")
    def published(self, event: OutboxEvent) -> SafeString:
        return badges.moment(event.published_at)

    @admin.display(description="event")
    def body(self, event: OutboxEvent) -> SafeString:
        return format_html("<pre>{}</pre>", json.dumps(event.payload, indent=2))

    @admin.action(description="Publish parked events again", permissions=["publish"])
    def publish_again(self, request: HttpRequest, queryset: QuerySet[OutboxEvent]) -> None:
        assert isinstance(queryset, OutboxQuerySet)
        released = queryset.release()
        if released:
            self.message_user(request, f"{released} parked events will be published again.", messages.SUCCESS)
        else:
            self.message_user(request, "None of these events is parked.", messages.WARNING)


@admin.register(LegacyRun)
class LegacyRunAdmin(ReadOnlyAdmin[LegacyRun]):
    fields = ("id", "sheet", "started_at", "finished_at", "rolled_back_at", "rows")
    readonly_fields = fields
    list_display = ("sheet", "started_at", "finished_at", "rolled_back_at", "rows")
    ordering = ("-started_at",)

    @admin.display(description="rows")
    def rows(self, run: LegacyRun) -> SafeString:
        url = reverse("admin:operators_legacyrow_changelist")
        return format_html('<a href="{}?run__id__exact={}">Show its rows</a>', url, run.pk)


@admin.register(LegacyRow)
class LegacyRowAdmin(ReadOnlyAdmin[LegacyRow]):
    fields = (
        "run",
        "line",
        "name",
        "outcome",
        "field",
        "reason",
        "operator",
        "prefixes",
        "cost_per_segment",
        "currency",
        "mcc",
        "mnc",
    )
    readonly_fields = fields
    list_display = ("line", "name", "outcome", "field", "reason", "operator", "run")
    list_display_links = ("line", "name")
    list_filter = ("outcome", "run")
    list_select_related = ("operator", "run")
    ordering = ("run", "line")
    search_fields = ("name", "reason")
