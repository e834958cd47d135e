"""What stands against a rule before it is saved; form, API and command ask the same questions here."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, NamedTuple
from uuid import UUID

from django.db import connection

from operators.errors import FieldProblem
from operators.wire import wire_value
from routing.coverage import is_covered
from routing.errors import MOST_LISTED
from routing.models import DestinationPrefix, RoutingRule
from routing.models.destination import prefixes_of
from routing.networks import countries_of_mcc


def _counted(which: str) -> str:
    first = f"SELECT id FROM other WHERE {which} ORDER BY prefix, id LIMIT {MOST_LISTED}"  # noqa: S608
    return f"count(*) FILTER (WHERE {which}), ARRAY({first})"


# In SQL, for the ORM takes ten times as long to make such a statement as PostgreSQL to answer it. Rules of different
# networks never meet in one message, so that they do not overlap. What takes a rule's numbers away must do so for as
# long as it routes.
_MEET: Final = f"""
    WITH other AS (
        SELECT id, prefix,
               prefix = %(prefix)s AND mcc = %(mcc)s AND mnc = %(mnc)s AS is_exact,
               prefix <> %(prefix)s AND priority = %(priority)s
                   AND (%(mcc)s = '' OR mcc IN ('', %(mcc)s)) AND (%(mnc)s = '' OR mnc IN ('', %(mnc)s)) AS is_overlap,
               prefix <> %(prefix)s AND prefix LIKE %(within)s AND mcc IN ('', %(mcc)s) AND mnc IN ('', %(mnc)s)
                   AND (effective_from IS NULL OR effective_from <= %(start)s)
                   AND (effective_to IS NULL OR effective_to >= %(end)s) AS is_longer
        FROM {RoutingRule._meta.db_table}
        WHERE operator_id = %(operator)s AND active AND id <> %(rule)s
          AND (effective_from IS NULL OR %(end)s IS NULL OR effective_from < %(end)s)
          AND (effective_to IS NULL OR %(start)s IS NULL OR effective_to > %(start)s)
          AND (prefix = ANY (%(covering)s) OR prefix LIKE %(within)s)
    )
    SELECT {_counted("is_exact")}, {_counted("is_overlap")}, {_counted("is_longer")},
           CASE WHEN count(DISTINCT substr(prefix, %(follower)s, 1)) FILTER (WHERE is_longer) = 10
                THEN array_agg(prefix) FILTER (WHERE is_longer) END
    FROM other
"""  # noqa: S608 - the table's name is ours


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
    """List what forbids this rule, given its operator's other rules; an inactive rule meets none.

    One query where nothing does, and one more for each finding.
    """
    if not rule.active:
        return []
    met = _meet(rule)
    found = []
    if met.exact.total:
        message = f"The operator already has an active rule for {rule} at that time."
        found.append(_finding(FindingKind.EXACT, message, met.exact))
    if met.takers and is_covered(rule.prefix, met.takers):
        message = f"{rule.prefix} could never win: the operator's longer prefixes cover every number of it."
        found.append(_finding(FindingKind.NEVER_WINS, message, met.longer))
    if met.overlaps.total and not allow_overlap:
        message = (
            f"{rule.prefix} contains or lies inside other prefixes of this operator at priority {rule.priority}; "
            "the longest one wins."
        )
        found.append(_finding(FindingKind.OVERLAP, message, met.overlaps))
    return found


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


class _Group(NamedTuple):
    total: int
    first: list[UUID]


class _Met(NamedTuple):
    """Which of its operator's active rules one meets at some time; `takers` only where any digit may follow."""

    exact: _Group
    overlaps: _Group
    longer: _Group
    takers: list[str] | None


def _meet(rule: RoutingRule) -> _Met:
    values: dict[str, Any] = {
        "rule": rule.pk,
        "operator": rule.operator_id,
        "prefix": rule.prefix,
        "covering": prefixes_of(rule.prefix),
        "within": f"{rule.prefix}%",
        "follower": len(rule.prefix) + 1,
        "mcc": rule.mcc,
        "mnc": rule.mnc,
        "priority": rule.priority,
        "start": rule.effective_from,
        "end": rule.effective_to,
    }
    with connection.cursor() as cursor:
        cursor.execute(_MEET, values)
        exact, first_exact, overlaps, first_overlaps, longer, first_longer, takers = cursor.fetchone()
    return _Met(_Group(exact, first_exact), _Group(overlaps, first_overlaps), _Group(longer, first_longer), takers)


def _finding(kind: FindingKind, message: str, group: _Group) -> Finding:
    rules = RoutingRule.objects.filter(pk__in=group.first).order_by("prefix", "id")
    return Finding(kind, message, tuple(rules), group.total)
