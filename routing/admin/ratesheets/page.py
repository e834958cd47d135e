"""What all pages about one sheet share: finding it, its operator's header, its addresses."""

from __future__ import annotations

from typing import Any

from django.contrib.admin.utils import unquote
from django.http import Http404, HttpRequest
from django.urls import reverse

from operators.admin.base import parse_uuid
from operators.admin.page import header_of
from operators.models import Operator
from routing.errors import RateSheetNotFound
from routing.models import RateSheet


def sheet_or_404(object_id: str) -> RateSheet:
    pk = parse_uuid(unquote(object_id))
    try:
        if pk is None:
            raise RateSheetNotFound
        return RateSheet.objects.find(pk)
    except RateSheetNotFound:
        raise Http404("There is no such rate sheet.") from None


def about_operator(request: HttpRequest, operator: Operator) -> dict[str, Any]:
    """Build the operator's header for who may see it, without its moves: “Delete” here would be the wrong thing's."""
    if not request.user.has_perm("operators.view_operator"):
        return {}
    return {"operator": operator, **header_of(request, operator), "moves": []}


def sheet_url(page: str, sheet: RateSheet) -> str:
    return reverse(f"admin:routing_ratesheet_{page}", args=[sheet.pk])
