"""The filters beside the list of operators and beside the audit trail."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from operators.admin.badges import PASSWORD_AGE_LIMIT, old_before
from operators.models import AuditEntry, CredentialRead, Operator, OutboxEvent
from operators.models.outbox import PENDING

MOST_TAGS: Final = 30
RECENT_ENTRIES: Final = 2_000
RECENT_OPERATORS: Final = 500


class ExistenceFilter(admin.SimpleListFilter):
    """Hide deleted operators unless they are asked for."""

    title = "existence"
    parameter_name = "deleted"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", "Deleted"), ("any", "Both")]

    def choices(self, changelist: ChangeList) -> Any:
        for index, choice in enumerate(super().choices(changelist)):
            yield choice | {"display": "Live"} if index == 0 else choice

    def queryset(self, request: HttpRequest, queryset: QuerySet[Operator]) -> QuerySet[Operator]:
        match self.value():
            case "any":
                return queryset
            case "yes":
                return queryset.exclude(deleted_at=None)
            case _:
                return queryset.filter(deleted_at=None)


class TagFilter(admin.SimpleListFilter):
    """Offer the tags that live operators use most; others are found by search."""

    title = "tag"
    parameter_name = "tag"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        # Only the operators changed last are counted: unfolding every tag of 5,000 costs a tenth of the page.
        recent = Operator.objects.live().order_by("-updated_at").values_list("tags", flat=True)[:RECENT_OPERATORS]
        uses = Counter(tag for tags in recent for tag in tags)
        return [(tag, tag) for tag in sorted((tag for tag, _ in uses.most_common(MOST_TAGS)), key=str.lower)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Operator]) -> QuerySet[Operator]:
        return queryset.filter(tags__contains=[tag]) if (tag := self.value()) else queryset


class BackupFilter(admin.SimpleListFilter):
    title = "backup"
    parameter_name = "backup"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("missing", "Missing"), ("named", "Named")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Operator]) -> QuerySet[Operator]:
        return queryset.filter(backup_operator__isnull=self.value() == "missing") if self.value() else queryset


class PasswordAgeFilter(admin.SimpleListFilter):
    title = "password"
    parameter_name = "password_age"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("old", f"Older than {PASSWORD_AGE_LIMIT.days} days")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Operator]) -> QuerySet[Operator]:
        if self.value() != "old":
            return queryset
        return queryset.filter(credential_rotated_at__lt=old_before())


class ActorFilter(admin.SimpleListFilter):
    """Offer who was at work lately; asking the whole trail for its actors would read all of it."""

    title = "who"
    parameter_name = "actor"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        recent = AuditEntry.objects.order_by("-id").values_list("actor", flat=True)[:RECENT_ENTRIES]
        return [(actor, actor) for actor in sorted(set(recent))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[AuditEntry]) -> QuerySet[AuditEntry]:
        return queryset.filter(actor=actor) if (actor := self.value()) else queryset


class CallerFilter(admin.SimpleListFilter):
    """Offer the services that asked for passwords lately."""

    title = "caller"
    parameter_name = "caller"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        recent = CredentialRead.objects.order_by("-id").values_list("caller", flat=True)[:RECENT_ENTRIES]
        return [(caller, caller) for caller in sorted(set(recent))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[CredentialRead]) -> QuerySet[CredentialRead]:
        return queryset.filter(caller=caller) if (caller := self.value()) else queryset


class SourceFilter(admin.SimpleListFilter):
    title = "door"
    parameter_name = "source"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("console", "Console"), ("api", "API"), ("command", "Command")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[AuditEntry]) -> QuerySet[AuditEntry]:
        return queryset.filter(source=source) if (source := self.value()) else queryset


class WhenFilter(admin.DateFieldListFilter):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.title = "when"


class SubjectFilter(admin.SimpleListFilter):
    """Offer the subjects that there are by contract; asking the table would read all of it."""

    title = "subject"
    parameter_name = "subject"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(f"operator.config.{verb}", verb.capitalize()) for verb in ("created", "updated", "deleted")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[OutboxEvent]) -> QuerySet[OutboxEvent]:
        return queryset.filter(subject=subject) if (subject := self.value()) else queryset


class DeliveryFilter(admin.SimpleListFilter):
    title = "delivery"
    parameter_name = "delivery"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("pending", "Pending"), ("parked", "Parked"), ("published", "Published")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[OutboxEvent]) -> QuerySet[OutboxEvent]:
        match self.value():
            case "pending":
                return queryset.filter(PENDING)
            case "parked":
                return queryset.filter(Q(published_at=None) & ~Q(parked_at=None))
            case "published":
                return queryset.exclude(published_at=None)
            case _:
                return queryset
