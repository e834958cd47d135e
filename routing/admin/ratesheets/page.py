"""What all pages about one sheet share: finding it, its addresses."""

from __future__ import annotations

from django.contrib.admin.utils import unquote
from django.http import Http404
from django.urls import reverse

from operators.admin.base import parse_uuid
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


def sheet_url(page: str, sheet: RateSheet) -> str:
    return reverse(f"admin:routing_ratesheet_{page}", args=[sheet.pk])
