"""Name the operator of rows that hold its id without a foreign key."""

from __future__ import annotations

from typing import Any, TypeVar

from django.contrib import admin
from django.db import models
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from operators.admin.base import ReadOnlyAdmin
from operators.models import Operator

M = TypeVar("M", bound=models.Model)


class OperatorNamedAdmin(ReadOnlyAdmin[M]):
    """Show rows that outlive no operator, yet must neither lock nor join it when they are written."""

    def get_queryset(self, request: HttpRequest) -> QuerySet[M]:
        name = Operator.objects.filter(pk=OuterRef("operator_id")).values("name")[:1]
        rows: QuerySet[Any] = super().get_queryset(request)
        return rows.annotate(operator_name=Subquery(name))

    @admin.display(description="operator")
    def operator_link(self, row: M) -> SafeString:
        operator_id = row.operator_id  # type: ignore[attr-defined]
        if not (name := getattr(row, "operator_name", None)):
            return format_html("{}", operator_id)
        return format_html('<a href="{}">{}</a>', reverse("admin:operators_operator_change", args=[operator_id]), name)
