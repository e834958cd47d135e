"""Read the rules that a number's prefixes name, straight from the tables: what is committed counts at once.

A table in the process would answer faster, but be as old as the news that it has heard. A prepared statement costs well
under a millisecond with a million rules, and nothing in it can be stale.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import psycopg
from django.db import connection

from operators.models import HealthState, Operator, Status
from routing.models import RoutingRule
from routing.resolver import Candidate, Question, Strategy

_RULE, _OPERATOR = RoutingRule._meta.db_table, Operator._meta.db_table
# `active` is for the resolver to judge: in a condition, it would let the planner take the exclusion constraint's index,
# which holds active rules alone but is led by the operator, and read all of it.
_RULES: Final = f"""
    SELECT rule.id, rule.operator_id, operator.name, rule.prefix, rule.mcc, rule.mnc, rule.priority, rule.weight,
           rule.cost_per_segment, rule.currency, rule.effective_from, rule.effective_to, rule.active,
           operator.status, operator.health_state
    FROM {_RULE} AS rule JOIN {_OPERATOR} AS operator ON operator.id = rule.operator_id
    WHERE rule.prefix = ANY (ARRAY(SELECT left(asked.number, digits + 1) FROM generate_series(1, 15) AS digits))
      AND operator.deleted_at IS NULL
"""  # noqa: S608 - the tables' names are ours
_IN_FORCE: Final = f"""
      AND (rule.effective_from IS NULL OR rule.effective_from <= %(as_of)s)
      AND (rule.effective_to IS NULL OR rule.effective_to > %(as_of)s)
      AND operator.status = '{Status.ACTIVE}'
"""
# As resolver.order_by has it; a prefix in the C collation sorts behind those that it begins with.
_GENERAL_ORDER: Final = f"""
    rule.prefix DESC, (rule.mcc <> '')::int + (rule.mnc <> '')::int DESC,
    operator.health_state = '{HealthState.DEGRADED}'
"""
_PRICE_ORDER: Final = """
    CASE WHEN rule.currency = %(currency)s THEN '' ELSE rule.currency END COLLATE "C",
    rule.cost_per_segment, rule.priority
"""


def everything(numbers: Sequence[str]) -> list[list[Candidate]]:
    """Read every rule that a number begins with, also what cannot route; a list for each number."""
    return _read(_RULES, numbers, {})


def in_force(question: Question, numbers: Sequence[str]) -> list[list[Candidate]]:
    """Read the rules that are in their windows, of ACTIVE operators; a list for each number."""
    return _read(_RULES + _IN_FORCE, numbers, {"as_of": question.as_of})


def foremost(question: Question, numbers: Sequence[str], rows: int) -> list[list[Candidate]]:
    """Read the first `rows` of `in_force` in the resolver's order, with all that are equal to the last of them.

    A list that is shorter than `rows` is all there is.
    """
    order = _GENERAL_ORDER
    if question.strategy is Strategy.PRIORITY:
        order += ", rule.priority"
    elif question.strategy is Strategy.COST and not question.rates:
        order += "," + _PRICE_ORDER
    statement = f"{_RULES}{_IN_FORCE} ORDER BY {order} FETCH FIRST (%(rows)s) ROWS WITH TIES"
    return _read(statement, numbers, {"as_of": question.as_of, "currency": question.currency, "rows": rows})


def _read(rules: str, numbers: Sequence[str], values: dict[str, Any]) -> list[list[Candidate]]:
    """Run one statement for all numbers; the server keeps it prepared, for planning costs more than the lookup."""
    statement = f"""
        SELECT asked.position, found.*
        FROM unnest(%(numbers)s::text[]) WITH ORDINALITY AS asked(number, position)
        CROSS JOIN LATERAL ({rules}) AS found
    """  # noqa: S608 - made of the texts above
    found: list[list[Candidate]] = [[] for _ in numbers]
    make = Candidate._make
    connection.ensure_connection()
    session = connection.connection
    # Django switches it off. Its own cursors bind on this side and never prepare, so that this concerns ours alone.
    session.prepare_threshold = 0
    with connection.wrap_database_errors, psycopg.Cursor(session) as cursor:
        rows = cursor.execute(statement, {**values, "numbers": list(numbers)}, prepare=True, binary=True).fetchall()
    for position, *rule in rows:
        found[position - 1].append(make(rule))
    return found
