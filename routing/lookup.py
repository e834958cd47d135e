"""Read the rules that a number's prefixes name, straight from the tables: what is committed counts at once.

A table in the process would answer faster, but be as old as the news that it has heard. A prepared statement costs well
under a millisecond with a million rules, and nothing in it can be stale.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import psycopg
from django.db import connection

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
# For one number, a fence keeps the two apart: as a plain join, all operators would be read into a hash for a few dozen
# rules. For many numbers that hash pays.
_RULES: Final = f"""
    SELECT rule.id, rule.operator_id, operator.name, rule.prefix, rule.mcc, rule.mnc, rule.priority, rule.weight,
           rule.cost_per_segment, rule.currency, rule.effective_from, rule.effective_to, rule.active,
           operator.status, operator.health_state
    FROM {_RULE} AS rule CROSS JOIN LATERAL (
        SELECT name, status, health_state FROM {_OPERATOR} AS operator
        WHERE operator.id = rule.operator_id AND operator.deleted_at IS NULL {{fence}}
    ) AS operator
    WHERE true
"""  # noqa: S608 - the tables' names are ours
_IN_FORCE: Final = f"""
      AND (rule.effective_from IS NULL OR rule.effective_from <= %(as_of)s)
      AND (rule.effective_to IS NULL OR rule.effective_to > %(as_of)s)
      AND operator.status = '{Status.ACTIVE}'
"""
# What cannot be chosen comes last; the rest is the resolver's order within a prefix, as far as no draw decides.
_ORDER: Final = f"""
    NOT rule.active OR operator.health_state = '{HealthState.UNHEALTHY}' OR rule.operator_id = ANY (%(down)s)
    OR (%(mcc)s <> '' AND rule.mcc NOT IN ('', %(mcc)s)) OR (%(mnc)s <> '' AND rule.mnc NOT IN ('', %(mnc)s)),
    rule.mcc = '', rule.mnc = '', operator.health_state = '{HealthState.DEGRADED}'
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
    rules = f"{_RULES} AND {_BEGINS}"
    rows = _fetch(f"SELECT 1, found.* FROM {{asked}} CROSS JOIN LATERAL ({rules}) AS found", [number], {})  # noqa: S608
    return [Candidate._make(rule) for _, *rule in rows]


def in_force(question: Question, numbers: Sequence[str]) -> list[list[Candidate]]:
    """Read, for each number, the rules in their windows of ACTIVE operators."""
    rules = f"{_RULES} AND {_BEGINS} {_IN_FORCE}"
    statement = f"SELECT asked.position, found.* FROM {{asked}} CROSS JOIN LATERAL ({rules}) AS found"  # noqa: S608
    found: list[list[Candidate]] = [[] for _ in numbers]
    for position, *rule in _fetch(statement, numbers, {"as_of": question.as_of}):
        found[position - 1].append(Candidate._make(rule))
    return found


def nearest(question: Question, numbers: Sequence[str], rows: int) -> list[Group]:
    """Read, for each number, the first `rows` of `in_force` of its longest prefix with all that equal the last.

    The prefix is empty where no rule has any; `rows` is part of the statement, so that the planner counts with it.
    """
    order = _ORDER
    if question.strategy is Strategy.PRIORITY:
        order += ", rule.priority"
    elif question.strategy is Strategy.COST and not question.rates:
        order += f", {_PRICE_ORDER}"
    statement = f"""
        SELECT asked.position, nearest.prefix AS longest, found.*
        FROM {{asked}}
        CROSS JOIN LATERAL (
            SELECT rule.prefix FROM {_RULE} AS rule WHERE {_BEGINS} ORDER BY rule.prefix DESC LIMIT 1
        ) AS nearest
        LEFT JOIN LATERAL (
            {_RULES} AND rule.prefix = nearest.prefix {_IN_FORCE} ORDER BY {order} FETCH FIRST {rows} ROWS WITH TIES
        ) AS found ON true
    """  # noqa: S608 - made of the texts above
    values = {
        "as_of": question.as_of,
        "currency": question.currency,
        "mcc": question.mcc,
        "mnc": question.mnc,
        "down": list(question.down),
    }
    groups = [Group() for _ in numbers]
    for position, prefix, *rule in _fetch(statement, numbers, values):
        group = groups[position - 1]
        group.prefix = prefix
        if rule[0] is not None:
            group.rules.append(Candidate._make(rule))
    return groups


def _fetch(statement: str, numbers: Sequence[str], values: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Run one statement for all numbers; the server keeps it prepared, for planning costs more than the lookup."""
    if len(numbers) == 1:
        text, values = statement.format(asked=_ONE, fence="OFFSET 0"), {**values, "number": numbers[0]}
    else:
        text, values = statement.format(asked=_MANY, fence=""), {**values, "numbers": list(numbers)}
    connection.ensure_connection()
    session = connection.connection
    # Django switches it off. Its own cursors bind on this side and never prepare, so that this concerns ours alone.
    session.prepare_threshold = 0
    with connection.wrap_database_errors, psycopg.Cursor(session) as cursor:
        return cursor.execute(text, values, prepare=True, binary=True).fetchall()
