"""The console's pages about destination prefixes."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from operators.admin import badges
from operators.admin.base import BoundedPaginator, FormPage, actor_of, parse_uuid
from operators.admin.page import answer_with
from operators.errors import OperatorError
from routing import destinations
from routing.admin.destination_form import FIELDS, DestinationForm
from routing.admin.rules.filters import PickFilter
from routing.destinations import countries, country_name
from routing.models import DestinationPrefix
from routing.models.destination import Origin, prefixes_of

NO_COUNTRY: Final = "none"
READ_ONLY: Final = ("Number range", {"fields": FIELDS})


class CountryFilter(PickFilter):
    title = "country"
    parameter_name = "country"

    def make_field(self, model_admin: Any) -> forms.Field:
        return forms.ChoiceField(choices=[("", "All"), (NO_COUNTRY, "None"), *countries()], required=False)

    def queryset(self, request: HttpRequest, queryset: QuerySet[DestinationPrefix]) -> QuerySet[DestinationPrefix]:
        if not (code := self.value()):
            return queryset
        return queryset.filter(country="" if code == NO_COUNTRY else code)


class OriginFilter(admin.SimpleListFilter):
    title = "origin"
    parameter_name = "origin"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(origin.value, str(origin.label).capitalize()) for origin in Origin]

    def queryset(self, request: HttpRequest, queryset: QuerySet[DestinationPrefix]) -> QuerySet[DestinationPrefix]:
        return queryset.filter(origin=origin) if (origin := self.value()) in Origin else queryset


@admin.register(DestinationPrefix)
class DestinationPrefixAdmin(FormPage[DestinationPrefix]):
    """List by country and network; add, change and delete through the actions."""

    actions = None
    fieldsets = (
        ("Number range", {"fields": (("prefix", "country"),)}),
        ("Network", {"fields": ("network", ("mcc", "mnc"), "expected_version")}),
    )
    form = DestinationForm
    list_display = ("prefix", "country_shown", "network", "mcc", "mnc", "origin_shown", "updated")
    list_filter = (OriginFilter, CountryFilter)
    list_per_page = 50
    ordering = ("prefix",)
    paginator = BoundedPaginator
    search_fields = ("prefix", "network")
    search_help_text = "The beginning of a prefix, a whole number, or part of a network's name."
    show_facets = admin.ShowFacets.NEVER
    show_full_result_count = False

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[DestinationPrefix], search_term: str
    ) -> tuple[QuerySet[DestinationPrefix], bool]:
        if not (term := search_term.strip()):
            return queryset, False
        digits = "".join(term.removeprefix("+").split())
        if not (digits.isascii() and digits.isdecimal()):
            return queryset.filter(network__icontains=term), False
        # What covers the number, and what lies inside it.
        number = f"+{digits}"
        return queryset.filter(Q(prefix__in=prefixes_of(number[:16])) | Q(prefix__startswith=number)), False

    @admin.display(description="country", ordering="country")
    def country_shown(self, row: DestinationPrefix) -> SafeString:
        if not row.country:
            return badges.NOTHING
        return format_html('{} <span class="quiet">{}</span>', country_name(row.country), row.country)

    @admin.display(description="origin", ordering="origin")
    def origin_shown(self, row: DestinationPrefix) -> SafeString:
        return badges.chips((row.get_origin_display(),))

    @admin.display(description="updated", ordering="updated_at")
    def updated(self, row: DestinationPrefix) -> SafeString:
        return badges.moment(row.updated_at)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        return super().changelist_view(request, {"title": "Destination prefixes", **(extra_context or {})})

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show the form, or save it through an action, which opens the transaction itself."""
        if object_id:
            self.refuse_outsider(request)
        row = find(object_id) if object_id else None
        self.refuse_stranger(request, row)
        form_class = self.get_form(request, row, change=row is not None, fields=FIELDS)
        assert issubclass(form_class, DestinationForm)
        if request.method != "POST":
            return self._show_form(request, form_class(instance=row), row)
        form = form_class(request.POST, instance=row)
        if not form.is_valid():
            return self._show_form(request, form, row)
        try:
            saved = self._save(request, form, row)
        except OperatorError as refusal:
            form.refuse(refusal)
            return answer_with(self._show_form(request, form, row), refusal)
        link = format_html('<a href="{}">{}</a>', page_url(saved), saved.prefix)
        self.message_user(request, format_html("{} is saved.", link), messages.SUCCESS)
        if "_continue" in request.POST:
            return HttpResponseRedirect(page_url(saved))
        if "_addanother" in request.POST:
            return HttpResponseRedirect(reverse("admin:routing_destinationprefix_add"))
        return self.response_post_save_change(request, saved)

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Tell what deleting means (GET), then do it (POST), at the version that the page showed."""
        if not self.has_delete_permission(request):
            raise PermissionDenied
        row = find(object_id)
        refusal: OperatorError | None = None
        if request.method == "POST":
            seen = request.POST.get("expected_version", "")
            try:
                destinations.delete_destination(
                    actor=actor_of(request),
                    prefix_id=row.pk,
                    expected_version=int(seen) if seen.isdecimal() and len(seen) < 10 else 0,
                )
            except OperatorError as error:
                refusal = error
            else:
                self.message_user(request, f"{row.prefix} is deleted.", messages.SUCCESS)
                return HttpResponseRedirect(self._list_url(request))
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "media": self.media,
            "title": f"Delete {row.prefix}",
            "original": row,
            "country": country_name(row.country),
            "refusal": refusal,
            "is_reference": row.origin == Origin.REFERENCE,
        }
        response = TemplateResponse(request, "admin/routing/destinationprefix/delete.html", context)
        return answer_with(response, refusal) if refusal else response

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Lead to the row: it tells who changed it last, and nothing else is kept."""
        self.refuse_outsider(request)
        return HttpResponseRedirect(page_url(find(object_id)))

    def _save(self, request: HttpRequest, form: DestinationForm, row: DestinationPrefix | None) -> DestinationPrefix:
        if row is None:
            return destinations.create_destination(actor=actor_of(request), values=form.values())
        return destinations.update_destination(
            actor=actor_of(request),
            prefix_id=row.pk,
            changes=form.changes(),
            expected_version=form.cleaned_data["expected_version"],
        )

    def _show_form(self, request: HttpRequest, form: DestinationForm, row: DestinationPrefix | None) -> HttpResponse:
        may_edit = row is None or self.has_change_permission(request, row)
        return self.show_form(
            request,
            form,
            row,
            fieldsets=self.get_fieldsets(request, row) if may_edit else (READ_ONLY,),
            readonly=() if may_edit else FIELDS,
            title="Add destination prefix" if row is None else row.prefix,
            **({"origin": self.origin_shown(row), "updated": self.updated(row)} if row else {}),
        )

    def _list_url(self, request: HttpRequest) -> str:
        return reverse("admin:routing_destinationprefix_changelist")


def find(object_id: str) -> DestinationPrefix:
    """Read one row; raises Http404."""
    pk: UUID | None = parse_uuid(unquote(object_id))
    row = DestinationPrefix.objects.filter(pk=pk).first() if pk else None
    if row is None:
        raise Http404("There is no such destination prefix.")
    return row


def page_url(row: DestinationPrefix) -> str:
    return reverse("admin:routing_destinationprefix_change", args=[row.pk])
