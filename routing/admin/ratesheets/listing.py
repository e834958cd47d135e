"""The list of rate sheets, of all operators or of one."""

from __future__ import annotations

from typing import Any, Final

from django.contrib import admin
from django.contrib.admin.widgets import AutocompleteSelect
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.forms import Media
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from operators.admin.base import BoundedPaginator, TypedAdmin
from operators.models import Operator
from routing.admin.ratesheets import badges
from routing.admin.rules.filters import OperatorFilter, chosen_operator
from routing.admin.rules.page import about_operator
from routing.models import LineKind, RateSheet

# How a sheet is read, which no list shows, is most of its row.
UNSEEN: Final = (
    "column_map",
    "titles",
    "sample",
    "notes",
    "warnings",
    "operator__notes",
    "operator__contacts",
    "operator__tags",
)


class StatusFilter(admin.ChoicesFieldListFilter):
    """Offer the statuses as the badges write them."""

    def choices(self, changelist: Any) -> Any:
        for choice in super().choices(changelist):
            yield {**choice, "display": str(choice["display"]).capitalize()}


class ListPage(TypedAdmin[RateSheet]):
    """Show what was uploaded, what each sheet does and who applied it, newest first."""

    actions = None
    list_display = (
        "name",
        "carrier",
        "status_now",
        "new",
        "dearer",
        "cheaper",
        "ended",
        "rejected",
        "uploaded",
        "applied",
    )
    list_filter = (OperatorFilter, ("status", StatusFilter))
    list_per_page = 40
    list_select_related = ("operator",)
    ordering = ("-uploaded_at", "id")
    paginator = BoundedPaginator
    search_fields = ("filename", "operator__name")
    search_help_text = "Part of a file's name or of an operator's."
    show_facets = admin.ShowFacets.NEVER
    show_full_result_count = False
    sortable_by = ()

    @property
    def media(self) -> Media:
        field = RateSheet._meta.get_field("operator")
        return (
            super().media
            + AutocompleteSelect(field, self.admin_site).media
            + Media(css={"all": ["console/routing.css"]})
        )

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Let only those upload who may see what comes of it."""
        return request.user.has_perm("routing.import_ratesheet") and self.has_view_permission(request)

    def has_change_permission(self, request: HttpRequest, obj: RateSheet | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: RateSheet | None = None) -> bool:
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[RateSheet]:
        return super().get_queryset(request).filter(operator__deleted_at=None).defer(*UNSEEN)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if not self.has_view_or_change_permission(request):
            raise PermissionDenied
        context: dict[str, Any] = {"title": "Rate sheets"}
        pk = chosen_operator(request)
        if operator := Operator.objects.live().filter(pk=pk).first() if pk else None:
            context |= {
                "title": f"Rate sheets of {operator.name}",
                "preset": operator,
                **about_operator(request, operator),
            }
        return super().changelist_view(request, {**context, **(extra_context or {})})

    @admin.display(description="file")
    def name(self, sheet: RateSheet) -> str:
        return sheet.filename

    @admin.display(description="operator")
    def carrier(self, sheet: RateSheet) -> SafeString:
        return format_html('<a href="?operator={}">{}</a>', sheet.operator_id, sheet.operator.name)

    @admin.display(description="status")
    def status_now(self, sheet: RateSheet) -> SafeString:
        return badges.status_badge(sheet)

    @admin.display(description="new")
    def new(self, sheet: RateSheet) -> SafeString:
        return badges.figure(sheet.kinds()[LineKind.NEW])

    @admin.display(description="dearer")
    def dearer(self, sheet: RateSheet) -> SafeString:
        return badges.figure(sheet.kinds()[LineKind.DEARER])

    @admin.display(description="cheaper")
    def cheaper(self, sheet: RateSheet) -> SafeString:
        return badges.figure(sheet.kinds()[LineKind.CHEAPER])

    @admin.display(description="ended")
    def ended(self, sheet: RateSheet) -> SafeString:
        return badges.figure(sheet.kinds()[LineKind.ENDED])

    @admin.display(description="rejected")
    def rejected(self, sheet: RateSheet) -> SafeString:
        return badges.figure(sheet.kinds()[LineKind.REJECTED])

    @admin.display(description="uploaded")
    def uploaded(self, sheet: RateSheet) -> SafeString:
        return badges.who_and_when(sheet.uploaded_by, sheet.uploaded_at)

    @admin.display(description="applied")
    def applied(self, sheet: RateSheet) -> SafeString:
        return badges.who_and_when(sheet.applied_by, sheet.applied_at)
