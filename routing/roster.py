"""All operators with all their rules, in pages that end where either becomes too many."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple
from uuid import UUID

from django.db import connection, transaction

from operators import roster
from operators.wire import JSONValue
from routing.models import RoutingRule

# About 1.5 MB of JSON.
MOST_RULES: Final = 5_000
NO_RULE_ID: Final = "00000000-0000-0000-0000-000000000000"


def _text(value: str) -> str:
    return f"""'"' || {value} || '"'"""


def _or_null(value: str) -> str:
    return f"coalesce({value}, 'null')"


def _moment(column: str) -> str:
    return _or_null(_text(f"""to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""))


# PostgreSQL writes each rule's JSON: a worker that made a million objects would keep its other threads waiting. Plain
# concatenation takes half the time of json_build_object; the table's constraints leave nothing in these columns that
# would need escaping.
_FIELDS: Final = {
    "ruleId": _text("rule.id"),
    "prefix": _text("rule.prefix"),
    "mcc": _or_null(_text("nullif(rule.mcc, '')")),
    "mnc": _or_null(_text("nullif(rule.mnc, '')")),
    "priority": "rule.priority",
    "weight": "rule.weight",
    "costPerSegment": "trim_scale(rule.cost_per_segment)",
    "currency": _text("rule.currency"),
    "effectiveFrom": _moment("rule.effective_from"),
    "effectiveTo": _moment("rule.effective_to"),
    "active": "rule.active",
    "version": "rule.version",
}
_MEMBERS: Final = " || ',' || ".join(f"""'"{name}":' || {value}""" for name, value in _FIELDS.items())
_JSON: Final = f"'{{' || {_MEMBERS} || '}}'"
# The order of `chosen` is known to the planner, which then reads one operator's rules after the other up to the limit.
_RULES: Final = f"""
    SELECT chosen.position, rule.prefix, rule.id::text, {_JSON}
    FROM (
        SELECT * FROM unnest(%(operators)s::uuid[], %(prefixes)s::text[], %(rules)s::uuid[])
            WITH ORDINALITY AS given(operator_id, prefix, rule_id, position)
        ORDER BY position
    ) AS chosen
    CROSS JOIN LATERAL (
        SELECT * FROM {RoutingRule._meta.db_table} AS rule
        WHERE rule.operator_id = chosen.operator_id AND (rule.prefix, rule.id) > (chosen.prefix, chosen.rule_id)
        ORDER BY rule.prefix, rule.id LIMIT %(limit)s
    ) AS rule
    ORDER BY chosen.position, rule.prefix, rule.id LIMIT %(limit)s
"""  # noqa: S608 - made of the texts above

RuleRow = tuple[int, str, str, str]


class Position(NamedTuple):
    """Where a page begins: behind an operator, or in the midst of its rules if parts of them were given out."""

    operator_id: str
    parts: int = 0
    version: int = 0
    prefix: str = ""
    rule_id: str = NO_RULE_ID


@dataclass(frozen=True)
class Entry:
    """One operator with its rules, each as JSON; `part` is 0 where these are all of them, and else counts from 1."""

    operator: dict[str, JSONValue]
    rules: Sequence[str]
    part: int = 0
    is_last: bool = True


@dataclass(frozen=True)
class Page:
    entries: list[Entry]
    goes_on: Position | None


def page(position: Position | None, *, limit: int, with_rules: bool) -> Page:
    """Read up to `limit` operators, with rules no more than MOST_RULES of them; two statements at most.

    An operator whose rules do not fit is left to the next page. One that has more than a page holds is cut into parts,
    all of which carry the version that it had at the first: what changed since comes as an event with a higher one.
    """
    begun = position if position is not None and position.parts else None
    place = UUID(position.operator_id) if position is not None else None
    rows = roster.read_some(limit + 1, at_or_after=place) if begun else roster.read_some(limit + 1, after=place)
    operators = [roster.on_the_wire(row) for row in rows[:limit]]
    if begun is not None and not (operators and operators[0]["operatorId"] == begun.operator_id):
        begun = None  # deleted between two parts
    behind = Position(str(rows[limit - 1][0])) if len(rows) > limit else None
    if not with_rules:
        return Page([Entry(operator, ()) for operator in operators], behind)
    return _with_rules(operators, begun, behind)


def with_its_rules(operator: dict[str, JSONValue], position: Position | None) -> tuple[Entry, Position | None]:
    """Give one operator its rules, or the next part of them."""
    page = _with_rules([operator], position, None)
    return page.entries[0], page.goes_on


def _with_rules(operators: list[dict[str, JSONValue]], begun: Position | None, behind: Position | None) -> Page:
    # Read after the operators, so that no rule is older than the version that its operator is given out with.
    rows = _read_rules(operators, begun)
    rules: dict[int, list[str]] = defaultdict(list)
    for place, _, _, text in rows:
        rules[place - 1].append(text)
    if begun is not None:
        operators[0]["version"] = begun.version
    whole = len(operators)
    if len(rows) > MOST_RULES:
        whole = rows[-1][0] - 1
        if whole == 0:
            _, prefix, rule_id, _ = rows[-2]
            parts = begun.parts + 1 if begun else 1
            version = operators[0]["version"]
            assert isinstance(version, int)
            goes_on = Position(str(operators[0]["operatorId"]), parts, version, prefix, rule_id)
            return Page([Entry(operators[0], rules[0][:-1], parts, is_last=False)], goes_on)
        behind = Position(str(operators[whole - 1]["operatorId"]))
    entries = [Entry(operator, rules[place]) for place, operator in enumerate(operators[:whole])]
    if begun is not None:
        entries[0] = Entry(operators[0], rules[0], begun.parts + 1)
    return Page(entries, behind)


def _read_rules(operators: Sequence[dict[str, JSONValue]], begun: Position | None) -> list[RuleRow]:
    rest = len(operators) - 1
    with transaction.atomic(), connection.cursor() as cursor:
        # The planner knows how many rules an operator has on average. Without this it would read and sort all of them
        # for each page, also where they are a hundred thousand.
        cursor.execute("SET LOCAL enable_bitmapscan = off")
        cursor.execute(
            _RULES,
            {
                "operators": [operator["operatorId"] for operator in operators],
                "prefixes": [begun.prefix if begun else "", *[""] * rest],
                "rules": [begun.rule_id if begun else NO_RULE_ID, *[NO_RULE_ID] * rest],
                "limit": MOST_RULES + 1,
            },
        )
        rows: list[RuleRow] = cursor.fetchall()
    return rows
