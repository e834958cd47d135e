"""What all pages about rules share: finding one, its operator's header, and what others did to it meanwhile."""

from __future__ import annotations

from typing import Any, Final

from django.contrib.admin.utils import unquote
from django.http import Http404, HttpRequest

from operators.admin.base import parse_uuid
from operators.admin.history import Change, changes_of
from operators.admin.page import header_of
from operators.models import AuditAction, AuditEntry, Operator
from routing.actions import WIRE_NAME, find_rule
from routing.errors import RuleNotFound
from routing.models import RoutingRule

RECENT: Final = 50


def rule_or_404(object_id: str) -> RoutingRule:
    pk = parse_uuid(unquote(object_id))
    try:
        if pk is None:
            raise RuleNotFound
        return find_rule(pk)
    except RuleNotFound:
        raise Http404("There is no such routing rule.") from None


def about_operator(request: HttpRequest, operator: Operator) -> dict[str, Any]:
    """Build the operator's header for who may see it, without its moves: “Delete” here would be the wrong thing's."""
    if not request.user.has_perm("operators.view_operator"):
        return {}
    return {"operator": operator, **header_of(request, operator), "moves": []}


def changes_since(rule: RoutingRule, version: int) -> list[Change]:
    """Follow a rule's changes back from what it says now to the version that a page showed, newest first.

    The operator's history names no rule; yet each entry tells the whole rule before and after, and of an operator's
    active rules no two say the same. What an import did is told by the import, and ends the way back.
    """
    found: list[AuditEntry] = []
    words = rule.in_words()
    entries = rule.operator.audit_entries.filter(action=AuditAction.CHANGE_RULE).order_by("-id")
    for entry in entries[:RECENT]:
        before, after = entry.changes.get(WIRE_NAME, (None, None))
        if len(found) == rule.version - version:
            break
        if after == words:
            found.append(entry)
            words = str(before)
    return changes_of(found)
