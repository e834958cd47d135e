"""What all pages about one operator share: finding it, its header, and the answer to a refusal."""

from __future__ import annotations

from typing import Any

from django.contrib.admin.utils import unquote
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse

from operators.admin import badges
from operators.admin.base import parse_uuid
from operators.admin.moves import open_moves
from operators.errors import OperatorError
from operators.models import Operator


def find_operator(object_id: str) -> Operator:
    """Read one operator, deleted or not; raises Http404."""
    pk = parse_uuid(unquote(object_id))
    operator = Operator.objects.select_related("backup_operator").filter(pk=pk).first() if pk else None
    if operator is None:
        raise Http404("There is no such operator.")
    return operator


def header_of(request: HttpRequest, operator: Operator) -> dict[str, Any]:
    """Build what templates/admin/operators/header.html shows."""
    return {
        "moves": open_moves(request, operator),
        "status_badge": badges.status_badge(operator),
        "health_badge": badges.badge(operator.health_state),
        "updated": badges.moment(operator.updated_at),
    }


def page_url(page: str, operator: Operator) -> str:
    return reverse(f"admin:operators_operator_{page}", args=[operator.pk])


def names_backed_up_by(operators: list[Operator]) -> list[str]:
    """List who loses its backup when these operators go."""
    chosen = [operator.pk for operator in operators]
    followers = Operator.objects.live().filter(backup_operator__in=chosen).exclude(pk__in=chosen)
    return list(followers.order_by("name").values_list("name", flat=True))


def answer_with(response: HttpResponse, refusal: OperatorError) -> HttpResponse:
    """Give the page the status that the refusal has in the API, so that a proxy or a script sees it too."""
    response.status_code = refusal.status
    if refusal.retry_after is not None:
        response["Retry-After"] = str(refusal.retry_after)
    return response
