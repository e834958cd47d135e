"""What stands against a rule before it is saved; form, API and command ask the same questions here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from django.db.models import Q
from django.db.models.functions import Substr

from operators.errors import FieldProblem
from operators.wire import wire_value
from routing.errors import MOST_LISTED
from routing.models import DestinationPrefix, RoutingRule, RoutingRuleQuerySet
from routing.models.destination import prefixes_of
from routing.networks import countries_of_mcc


class FindingKind(StrEnum):
    EXACT = "EXACT"
    OVERLAP = "OVERLAP"
    NEVER_WINS = "NEVER_WINS"


@dataclass(frozen=True)
class Finding:
    """One way in which a rule meets others of its operator, and the first of these."""

    kind: FindingKind
    message: str
    rules: tuple[RoutingRule, ...]
    total: int

    def as_member(self) -> dict[str, Any]:
        """Give what the API's answer says of it (RFC 9457 §3.2)."""
        return {
            "kind": self.kind.value,
            "message": self.message,
            "total": self.total,
            "rules": [
                {
                    "ruleId": str(rule.pk),
                    "prefix": rule.prefix,
                    "mcc": rule.mcc or None,
                    "mnc": rule.mnc or None,
                    "priority": rule.priority,
                    "effectiveFrom": wire_value(rule.effective_from),
                    "effectiveTo": wire_value(rule.effective_to),
                }
                for rule in self.rules
            ],
        }


def find_conflicts(rule: RoutingRule, *, allow_overlap: bool) -> list[Finding]:
    """List what forbids this rule, given its operator's other rules; an inactive rule meets none. Three queries."""
    if not rule.active:
        return []
    others = _active_beside(rule)
    found = [*_exact(rule, others), *_never_wins(rule, others)]
    return found if allow_overlap else [*found, *_overlaps(rule, others)]


def country_problems(rule: RoutingRule) -> list[FieldProblem]:
    """Tell of an MCC that belongs to other countries than the prefix; nothing where either is unknown.

    One query as a rule; what lies inside the prefix counts only where it leads elsewhere, and may be thousands of rows.
    """
    if not rule.mcc or not (claimed := countries_of_mcc(rule.mcc)):
        return []
    if (above := _country_above(rule.prefix)) in claimed:
        return []
    countries = _countries(above, rule.prefix)
    if not countries or countries & claimed:
        return []
    return [
        FieldProblem(
            "mcc",
            f"MCC {rule.mcc} belongs to {', '.join(sorted(claimed))}, "
            f"but {rule.prefix} leads to {', '.join(sorted(countries))}.",
        )
    ]


def countries_of_prefix(prefix: str) -> frozenset[str]:
    """Name every country that numbers of a prefix may belong to, by the destination prefixes."""
    return _countries(_country_above(prefix), prefix)


def _countries(above: str, prefix: str) -> frozenset[str]:
    within = DestinationPrefix.objects.within(prefix).exclude(country="").order_by()
    return frozenset({*within.values_list("country", flat=True).distinct(), above} - {""})


def _country_above(prefix: str) -> str:
    """Name the country of the longest destination prefix that this one is or lies in; empty where none is known."""
    above = DestinationPrefix.objects.covering(prefix).exclude(country="")
    return above.values_list("country", flat=True).first() or ""


def is_covered(prefix: str, longer: Iterable[str]) -> bool:
    """Tell whether every number of a prefix begins with one of the longer prefixes as well."""
    by_length: dict[int, set[str]] = {}
    for each in longer:
        by_length.setdefault(len(each), set()).add(each)
    for length in range(max(by_length, default=0), len(prefix), -1):
        parents = Counter(each[:-1] for each in by_length.get(length, ()))
        by_length.setdefault(length - 1, set()).update(each for each, count in parents.items() if count == 10)
    return prefix in by_length.get(len(prefix), ())


def _active_beside(rule: RoutingRule) -> RoutingRuleQuerySet:
    return (
        RoutingRule.objects.filter(operator_id=rule.operator_id, active=True)
        .exclude(pk=rule.pk)
        .overlapping(rule.effective_from, rule.effective_to)
    )


def _exact(rule: RoutingRule, others: RoutingRuleQuerySet) -> Iterator[Finding]:
    rules = others.filter(prefix=rule.prefix, mcc=rule.mcc, mnc=rule.mnc)
    yield from _finding(
        FindingKind.EXACT,
        f"The operator already has an active rule for {rule} at that time.",
        rules,
    )


def _overlaps(rule: RoutingRule, others: RoutingRuleQuerySet) -> Iterator[Finding]:
    nested = Q(prefix__in=prefixes_of(rule.prefix)[1:]) | (Q(prefix__startswith=rule.prefix) & ~Q(prefix=rule.prefix))
    # Rules of different networks never meet in one message.
    same_network = Q()
    if rule.mcc:
        same_network &= Q(mcc__in=("", rule.mcc))
    if rule.mnc:
        same_network &= Q(mnc__in=("", rule.mnc))
    rules = others.filter(nested, same_network, priority=rule.priority)
    yield from _finding(
        FindingKind.OVERLAP,
        f"{rule.prefix} contains or lies inside other prefixes of this operator at priority {rule.priority}; "
        "the longest one wins.",
        rules,
    )


def _never_wins(rule: RoutingRule, others: RoutingRuleQuerySet) -> Iterator[Finding]:
    """Look for own longer prefixes that together take every number of this one away, as long as it routes."""
    longer = others.filter(prefix__startswith=rule.prefix, mcc__in={"", rule.mcc}, mnc__in={"", rule.mnc}).exclude(
        prefix=rule.prefix
    )
    longer = longer.filter(
        Q(effective_from=None)
        if rule.effective_from is None
        else Q(effective_from=None) | Q(effective_from__lte=rule.effective_from),
        Q(effective_to=None)
        if rule.effective_to is None
        else Q(effective_to=None) | Q(effective_to__gte=rule.effective_to),
    )
    digits = longer.order_by().annotate(head=Substr("prefix", 1, len(rule.prefix) + 1)).values("head").distinct()
    if digits.count() == 10 and is_covered(rule.prefix, longer.values_list("prefix", flat=True)):
        yield from _finding(
            FindingKind.NEVER_WINS,
            f"{rule.prefix} could never win: the operator's longer prefixes cover every number of it.",
            longer,
        )


def _finding(kind: FindingKind, message: str, rules: RoutingRuleQuerySet) -> Iterator[Finding]:
    listed = tuple(rules.order_by("prefix", "id")[: MOST_LISTED + 1])
    if listed:
        total = len(listed) if len(listed) <= MOST_LISTED else rules.count()
        yield Finding(kind, message, listed[:MOST_LISTED], total)
