"""What several pages share: a typed base, a paginator of bounded cost, and admins that only show."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, TypeVar
from uuid import UUID

from django.contrib import admin
from django.contrib.admin import helpers
from django.contrib.admin.widgets import AutocompleteSelect
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db import models
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse

from operators.actors import Actor, Source

if TYPE_CHECKING:
    TypedAdmin = admin.ModelAdmin
else:

    class TypedAdmin(admin.ModelAdmin):
        def __class_getitem__(cls, model: type[models.Model]) -> type[TypedAdmin]:
            return cls


M = TypeVar("M", bound=models.Model)

COUNT_LIMIT: Final = 10_000


class BoundedPaginator(Paginator):  # type: ignore[type-arg]
    """Count no further than 10,000 rows: what lies behind is found by filters, not by turning pages."""

    @cached_property
    def count(self) -> int:
        rows = self.object_list
        assert isinstance(rows, models.QuerySet)
        return rows.order_by()[:COUNT_LIMIT].count()


class ReadOnlyAdmin(TypedAdmin[M]):
    """Show rows that only actions and commands write."""

    actions: Sequence[str] | None = None
    change_form_template = "admin/operators/record.html"
    show_facets = admin.ShowFacets.NEVER
    list_per_page = 50
    show_full_result_count = False
    paginator = BoundedPaginator

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        name = str(self.opts.verbose_name_plural)
        return super().changelist_view(request, {"title": name.capitalize(), **(extra_context or {})})

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: M | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: M | None = None) -> bool:
        return False

    def get_readonly_fields(self, request: HttpRequest, obj: M | None = None) -> list[str] | tuple[Any, ...]:
        return self.readonly_fields or [field.name for field in self.model._meta.fields]


class FormPage(TypedAdmin[M]):
    """The door of a form page that saves through an action, and the page itself; Django's own would save the row."""

    def refuse_outsider(self, request: HttpRequest) -> None:
        """Raise PermissionDenied before a row is looked for: who may see none learns of none whether it exists."""
        if not self.has_view_or_change_permission(request):
            raise PermissionDenied

    def refuse_stranger(self, request: HttpRequest, row: M | None) -> None:
        """Let in who may add, change or, to look alone, view; raises PermissionDenied."""
        if row is None:
            is_welcome = self.has_add_permission(request)
        elif request.method == "POST":
            is_welcome = self.has_change_permission(request, row)
        else:
            is_welcome = self.has_view_or_change_permission(request, row)
        if not is_welcome:
            raise PermissionDenied

    def show_form(
        self,
        request: HttpRequest,
        form: ModelForm[M],
        row: M | None,
        *,
        fieldsets: Sequence[Any],
        readonly: Sequence[str],
        **context: Any,
    ) -> HttpResponse:
        """Show the form with what stands in it; `context` needs a title."""
        admin_form = helpers.AdminForm(form, list(fieldsets), {}, readonly, model_admin=self)
        whole = {
            **self.admin_site.each_context(request),
            "adminform": admin_form,
            "object_id": str(row.pk) if row else None,
            "original": row,
            "is_popup": False,
            "media": self.media + admin_form.media,
            "inline_admin_formsets": [],
            "errors": helpers.AdminErrorList(form, []),
            "preserved_filters": self.get_preserved_filters(request),
            **context,
        }
        return self.render_change_form(request, whole, add=row is None, change=row is not None, obj=row)


class OperatorSelect(AutocompleteSelect):
    """Search operators; Django's own fails on a value that is no UUID when it looks for its name."""

    def optgroups(self, name: str, value: Sequence[str], attrs: dict[str, Any] | None = None) -> Any:
        return super().optgroups(name, [each for each in value if parse_uuid(each)], attrs)


def actor_of(request: HttpRequest) -> Actor:
    return Actor(name=request.user.get_username(), source=Source.CONSOLE)


def parse_uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
