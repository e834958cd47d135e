"""Which price was in force at a moment, and which came before and after it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from django.db import connection

from routing.models.destination import prefixes_of

# One series is an operator's price for one prefix and network, rule after rule. Only a page of them is looked into:
# each lookup goes over the index of the operator's rules by prefix.
QUERY: Final = """
    WITH series AS (
        SELECT DISTINCT o.name, length(r.prefix) AS digits, r.prefix, r.mcc, r.mnc, r.operator_id, o.status
        FROM routing_routingrule r JOIN operators_operator o ON o.id = r.operator_id
        WHERE o.deleted_at IS NULL AND r.active
          AND (%(operator)s::uuid IS NULL OR r.operator_id = %(operator)s)
          AND (%(heads)s::text[] IS NULL OR r.prefix = ANY (%(heads)s))
        ORDER BY {order} LIMIT %(limit)s OFFSET %(offset)s
    )
    SELECT s.operator_id, s.name, s.status, s.prefix, s.mcc, s.mnc,
           was.cost_per_segment, was.currency, was.effective_from, was.effective_to,
           present.cost_per_segment, present.currency, present.effective_from, present.effective_to,
           next.cost_per_segment, next.currency, next.effective_from, next.effective_to,
           %(heads)s::text[] IS NOT NULL AND EXISTS (
               SELECT FROM routing_routingrule r
               WHERE r.operator_id = s.operator_id AND r.prefix = ANY (%(heads)s) AND length(r.prefix) > s.digits
                 AND r.mcc = s.mcc AND r.mnc = s.mnc AND r.active
                 AND (r.effective_from IS NULL OR r.effective_from <= %(at)s)
                 AND (r.effective_to IS NULL OR r.effective_to > %(at)s)
           )
    FROM series s
    LEFT JOIN LATERAL (
        SELECT * FROM routing_routingrule r
        WHERE r.operator_id = s.operator_id AND r.prefix = s.prefix AND r.mcc = s.mcc AND r.mnc = s.mnc AND r.active
          AND (r.effective_from IS NULL OR r.effective_from <= %(at)s)
          AND (r.effective_to IS NULL OR r.effective_to > %(at)s)
        LIMIT 1
    ) present ON true
    LEFT JOIN LATERAL (
        SELECT * FROM routing_routingrule r
        WHERE r.operator_id = s.operator_id AND r.prefix = s.prefix AND r.mcc = s.mcc AND r.mnc = s.mnc AND r.active
          AND r.effective_to <= CASE WHEN present.id IS NULL THEN %(at)s ELSE present.effective_from END
        ORDER BY r.effective_to DESC LIMIT 1
    ) was ON true
    LEFT JOIN LATERAL (
        SELECT * FROM routing_routingrule r
        WHERE r.operator_id = s.operator_id AND r.prefix = s.prefix AND r.mcc = s.mcc AND r.mnc = s.mnc AND r.active
          AND r.effective_from >= CASE WHEN present.id IS NULL THEN %(at)s ELSE present.effective_to END
        ORDER BY r.effective_from LIMIT 1
    ) next ON true
    ORDER BY {outer_order}
"""
OF_OPERATOR: Final = ("r.prefix", "r.mcc", "r.mnc")
OF_NUMBER: Final = ("o.name", "digits DESC", "r.prefix", "r.mcc", "r.mnc", "r.operator_id")


@dataclass(frozen=True)
class Price:
    cost: Decimal
    currency: str
    start: datetime | None
    end: datetime | None


@dataclass(frozen=True)
class PriceSeries:
    """What an operator took for one prefix and network: then, before that and after it; each may be none."""

    operator_id: UUID
    operator: str
    status: str
    prefix: str
    mcc: str
    mnc: str
    before: Price | None
    then: Price | None
    after: Price | None
    # A longer prefix of the same operator took the number that was asked about.
    is_beaten: bool


def prices_at(
    moment: datetime, *, operator_id: UUID | None = None, number: str = "", limit: int, offset: int = 0
) -> list[PriceSeries]:
    """List prices by the active rules of an operator, by those that cover a number or prefix, or by both; one query."""
    order = OF_NUMBER if number else OF_OPERATOR
    query = QUERY.format(
        order=", ".join(order),
        outer_order=", ".join(f"s.{column.split('.')[-1]}" for column in order),
    )
    values: dict[str, Any] = {
        "operator": operator_id,
        "heads": prefixes_of(number) if number else None,
        "at": moment,
        "limit": limit,
        "offset": offset,
    }
    with connection.cursor() as cursor:
        cursor.execute(query, values)
        rows = cursor.fetchall()
    return [_series(row) for row in rows]


def _series(row: tuple[Any, ...]) -> PriceSeries:
    operator_id, operator, status, prefix, mcc, mnc = row[:6]
    return PriceSeries(
        operator_id=operator_id,
        operator=operator,
        status=status,
        prefix=prefix,
        mcc=mcc,
        mnc=mnc,
        before=_price(row[6:10]),
        then=_price(row[10:14]),
        after=_price(row[14:18]),
        is_beaten=row[18],
    )


def _price(columns: tuple[Any, ...]) -> Price | None:
    return None if columns[0] is None else Price(*columns)
