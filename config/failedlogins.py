"""The console's page about failed log-ins: who is locked out, and letting them in again."""

from __future__ import annotations

from typing import Any

import structlog
from axes.models import AccessAttempt
from django.conf import settings
from django.contrib import admin, messages
from django.db.models import OuterRef, QuerySet, Subquery, Sum
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString

from config.lockouts import UNKNOWN
from operators.admin.badges import badge, moment
from operators.admin.base import ReadOnlyAdmin

log = structlog.stdlib.get_logger("config.login")


@admin.register(AccessAttempt)
class FailedLoginAdmin(ReadOnlyAdmin[AccessAttempt]):
    """List failures that still count; each row is one name, address and browser."""

    actions = ("let_in",)
    fields = ("username", "ip_address", "failures_since_start", "attempt_time", "user_agent", "path_info")
    readonly_fields = fields
    list_display = ("who", "ip_address", "failures_since_start", "last", "state")
    list_display_links = None
    ordering = ("-attempt_time",)
    search_fields = ("username", "ip_address")
    search_help_text = "Part of a user's name or of an address."

    def get_queryset(self, request: HttpRequest) -> QuerySet[AccessAttempt]:
        same = AccessAttempt.objects.order_by().values("ip_address").filter(ip_address=OuterRef("ip_address"))
        total = Sum("failures_since_start")
        sums = {
            "of_name": Subquery(same.filter(username=OuterRef("username")).annotate(sum=total).values("sum")),
            "of_address": Subquery(same.annotate(sum=total).values("sum")),
        }
        attempts: QuerySet[AccessAttempt] = super().get_queryset(request).annotate(**sums)
        return attempts

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        return super().changelist_view(request, {"title": "Failed log-ins", **(extra_context or {})})

    def has_reset_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("axes.delete_accessattempt")

    @admin.display(description="name", ordering="username")
    def who(self, attempt: AccessAttempt) -> str:
        name = attempt.username or ""
        return f"no such user ({name.removeprefix(UNKNOWN)[:6]})" if name.startswith(UNKNOWN) else name

    @admin.display(description="last", ordering="attempt_time")
    def last(self, attempt: AccessAttempt) -> SafeString:
        return moment(attempt.attempt_time)

    @admin.display(description="state")
    def state(self, attempt: Any) -> SafeString:
        if attempt.of_address >= settings.LOGIN_FLOOD:
            return badge("PARKED", "Address locked")
        if attempt.of_name >= settings.LOGIN_FAILURES:
            return badge("PARKED", "Locked")
        return badge("PENDING", "Counted")

    @admin.action(description="Let them log in again", permissions=["reset"])
    def let_in(self, request: HttpRequest, queryset: QuerySet[AccessAttempt]) -> None:
        """Forget the failures of the chosen names at their addresses, and all of an address that is locked."""
        for attempt in list(queryset):
            chosen = AccessAttempt.objects.filter(ip_address=attempt.ip_address)
            if attempt.of_address < settings.LOGIN_FLOOD:
                chosen = chosen.filter(username=attempt.username)
            chosen.delete()
            log.info(
                f"lock-out of {attempt.username} at {attempt.ip_address} reset",
                action="reset_lockout",
                adminId=request.user.get_username(),
            )
        self.message_user(request, "They may log in again.", messages.SUCCESS)
