"""Who was given which operator's password: for those who look after secrets, to read alone."""

from __future__ import annotations

from typing import Final

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from operators.admin import badges
from operators.admin.base import parse_uuid
from operators.admin.filters import CallerFilter, WhenFilter
from operators.admin.naming import OperatorNamedAdmin
from operators.models import CredentialRead, Operator

MOST_OPERATORS: Final = 100


@admin.register(CredentialRead)
class CredentialReadAdmin(OperatorNamedAdmin[CredentialRead]):
    fields = (
        "at",
        "operator_link",
        "credential_version",
        "caller",
        "identity",
        "result",
        "trace_id",
        "sequence",
        "previous_hash",
        "hash",
    )
    readonly_fields = fields
    list_display = ("moment", "operator_link", "credential_version", "caller", "identity", "result")
    list_filter = (CallerFilter, "result", ("at", WhenFilter))
    ordering = ("-id",)
    search_fields = ("operator_id__exact",)
    search_help_text = "An operator's ID, or part of its name."

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[CredentialRead], search_term: str
    ) -> tuple[QuerySet[CredentialRead], bool]:
        """Find reads by their operator, whose id alone has an index here."""
        if not (term := search_term.strip()):
            return queryset, False
        if pk := parse_uuid(term):
            return queryset.filter(operator_id=pk), False
        found = Operator.objects.filter(name__icontains=term).values_list("pk", flat=True)
        return queryset.filter(operator_id__in=list(found[:MOST_OPERATORS])), False

    @admin.display(description="when", ordering="id")
    def moment(self, read: CredentialRead) -> SafeString:
        return badges.moment(read.at)
