"""Read the rules that a number's prefixes name, straight from the tables: what is committed counts at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

from django.conf import settings

from operators import prepared
from operators.models import HealthState, Operator, Status
from routing.models import RoutingRule
from routing.resolver import Candidate, Question, Strategy

_RULE, _OPERATOR = RoutingRule._meta.db_table, Operator._meta.db_table

# The planner knows how many rows the former has. An array may hold any number, so that for each single one the server
# would plan anew.
_ONE: Final = "(VALUES (1, %(number)s::text)) AS asked(position, number)"
_MANY: Final = "unnest(%(numbers)s::text[]) WITH ORDINALITY AS asked(number, position)"

# No condition on `active`: rules that are off are few, and the resolver leaves them out. With one, the partial index of
# the exclusion constraint could be taken for a lookup by prefix, which it does not serve.
_BEGINS: Final = (
    "rule.prefix = ANY (ARRAY(SELECT left(asked.number, digits + 1) FROM generate_series(1, 15) AS digits))"
)
# Together in the order of Candidate.
_RULE_COLUMNS: Final = """
    rule.id, rule.operator_id, rule.prefix, rule.mcc, rule.mnc, rule.priority, rule.weight, rule.cost_per_segment,
    rule.currency, rule.effective_from, rule.effective_to, rule.active
"""
_OPERATOR_COLUMNS: Final = "operator.name, operator.status, operator.health_state"
# For one number, the fence keeps the two apart: as a plain join, all operators would be read into a hash for a few
# dozen rules. For many numbers that hash pays.
_RULES: Final = f"""
    SELECT {_RULE_COLUMNS}, {_OPERATOR_COLUMNS}
    FROM {_RULE} AS rule CROSS JOIN LATERAL (
        SELECT name, status, health_state FROM {_OPERATOR} AS operator
        WHERE operator.id = rule.operator_id AND operator.deleted_at IS NULL {{fence}}
    ) AS operator
    WHERE true
"""  # noqa: S608 - the tables' names are ours
_IN_WINDOW: Final = """
      AND (rule.effective_from IS NULL OR rule.effective_from <= %(as_of)s)
      AND (rule.effective_to IS NULL OR rule.effective_to > %(as_of)s)
"""
_IN_FORCE: Final = f"{_IN_WINDOW} AND operator.status = '{Status.ACTIVE}'"
_LONGEST: Final = f"""
    CROSS JOIN LATERAL (
        SELECT rule.prefix FROM {_RULE} AS rule WHERE {_BEGINS} ORDER BY rule.prefix DESC LIMIT 1
    ) AS nearest
"""  # noqa: S608
# What is said of one number's operators where they are joined, ...
_OF_ONE: Final = {
    "unhealthy": f"operator.health_state = '{HealthState.UNHEALTHY}'",
    "degraded": f"operator.health_state = '{HealthState.DEGRADED}'",
}
_NEAREST_OF_ONE: Final = f"""
    SELECT asked.position, nearest.prefix AS longest, found.*
    FROM {_ONE} {_LONGEST} LEFT JOIN LATERAL (
        {_RULES.format(fence="OFFSET 0")} AND rule.prefix = nearest.prefix {_IN_FORCE} ORDER BY {{order}}
    ) AS found ON true
"""  # noqa: S608
# ... and of many numbers' by the few operators that are out of order: a probe of their hash costs a tenth of a join,
# and the rest is read of the chosen alone.
_OUT_OF_ORDER: Final = f"rule.operator_id {{}} (SELECT id FROM {_OPERATOR} WHERE {{}})"  # noqa: S608
_OF_MANY: Final = {
    "unhealthy": _OUT_OF_ORDER.format("IN", f"health_state = '{HealthState.UNHEALTHY}'"),
    "degraded": _OUT_OF_ORDER.format("IN", f"health_state = '{HealthState.DEGRADED}'"),
}
_NEAREST_OF_MANY: Final = f"""
    SELECT asked.position, nearest.prefix AS longest, found.*, {_OPERATOR_COLUMNS}
    FROM {_MANY} {_LONGEST} LEFT JOIN LATERAL (
        SELECT {_RULE_COLUMNS} FROM {_RULE} AS rule
        WHERE rule.prefix = nearest.prefix {_IN_WINDOW}
          AND {_OUT_OF_ORDER.format("NOT IN", f"deleted_at IS NOT NULL OR status <> '{Status.ACTIVE}'")}
        ORDER BY {{order}}
    ) AS found ON true LEFT JOIN {_OPERATOR} AS operator ON operator.id = found.operator_id
"""  # noqa: S608
# What cannot be chosen comes last; the rest is the resolver's order within a prefix, as far as no draw decides. One
# number, for PostgreSQL sorts by one in two thirds of the time that it takes for six values.
_ORDER: Final = """
    (NOT rule.active OR {unhealthy} OR rule.operator_id = ANY (%(down)s)
     OR (%(mcc)s <> '' AND rule.mcc NOT IN ('', %(mcc)s))
     OR (%(mnc)s <> '' AND rule.mnc NOT IN ('', %(mnc)s)))::int::bigint * 8
    + (rule.mcc = '')::int * 4 + (rule.mnc = '')::int * 2 + ({degraded})::int
"""
_PRICE_ORDER: Final = """
    CASE WHEN rule.currency = %(currency)s THEN '' ELSE rule.currency END COLLATE "C", rule.cost_per_segment,
    rule.priority
"""


@dataclass(slots=True)
class Group:
    """The first rules of the longest prefix; all of them where there are fewer than were asked for."""

    prefix: str = ""
    rules: list[Candidate] = field(default_factory=list)


def everything(number: str) -> list[Candidate]:
    """Read every rule whose prefix a number begins with, also those that cannot route."""
    rules = f"{_RULES.format(fence='OFFSET 0')} AND {_BEGINS}"
    statement = f"SELECT found.* FROM {_ONE} CROSS JOIN LATERAL ({rules}) AS found"  # noqa: S608
    return [Candidate._make(rule) for rule in _fetch(statement, {"number": number})]


def in_force(question: Question, numbers: Sequence[str]) -> list[list[Candidate]]:
    """Read, for each number, the rules in their windows of ACTIVE operators."""
    rules = f"{_RULES.format(fence='')} AND {_BEGINS} {_IN_FORCE}"
    statement = f"SELECT asked.position, found.* FROM {_MANY} CROSS JOIN LATERAL ({rules}) AS found"  # noqa: S608
    found: list[list[Candidate]] = [[] for _ in numbers]
    for position, *rule in _fetch(statement, {"numbers": list(numbers), "as_of": question.as_of}):
        found[position - 1].append(Candidate._make(rule))
    return found


def nearest(question: Question, number: str, rows: int) -> Group:
    """Read the first `rows` of `in_force` of a number's longest prefix with all that equal the last.

    The prefix is empty where no rule has any; `rows` is part of the statement, so that the planner counts with it.
    """
    found = prepared.fetch(
        nearest_statement(question.strategy, bool(question.rates), rows, is_one=True),
        {"number": number, **_values(question)},
    )
    if not found:
        return Group()
    # A prefix whose rules cannot route still says where to go on, in a row of its own.
    return Group(found[0][1], [Candidate._make(row[2:]) for row in found if row[2] is not None])


def nearest_of_many(question: Question, numbers: Sequence[str], rows: int) -> list[Group]:
    """Read what `nearest` does, for each number."""
    groups = [Group() for _ in numbers]
    statement = nearest_statement(question.strategy, bool(question.rates), rows, is_one=False)
    for position, prefix, *rule in _fetch(statement, {"numbers": list(numbers), **_values(question)}):
        group = groups[position - 1]
        group.prefix = prefix
        if rule[0] is not None:
            group.rules.append(Candidate._make(rule))
    return groups


def _values(question: Question) -> dict[str, Any]:
    return {
        "as_of": question.as_of,
        "currency": question.currency,
        "mcc": question.mcc,
        "mnc": question.mnc,
        "down": list(question.down),
    }


@cache
def nearest_statement(strategy: Strategy, has_rates: bool, rows: int, is_one: bool) -> str:
    order = _ORDER.format(**(_OF_ONE if is_one else _OF_MANY))
    if strategy is Strategy.PRIORITY:
        order = f"({order} << 31) + rule.priority"  # which has 31 bits
    elif strategy is Strategy.COST and not has_rates:
        order += f", {_PRICE_ORDER}"
    order += f" FETCH FIRST {rows} ROWS WITH TIES"
    return (_NEAREST_OF_ONE if is_one else _NEAREST_OF_MANY).format(order=order)


def _fetch(statement: str, values: dict[str, Any]) -> list[prepared.Row]:
    """Read for many numbers, as long as the server lets a statement run."""
    return prepared.fetch(statement, values, seconds=settings.STATEMENT_TIMEOUT + prepared.SECONDS)
