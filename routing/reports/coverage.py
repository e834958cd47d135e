"""Which destinations nobody carries, and which only one operator does.

A destination prefix is covered by a rule on it or on a shorter prefix that is in force, active and of an ACTIVE
operator, unless both name a network and these differ.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from django.db import connection, transaction

IN_FORCE: Final = """
    r.active AND (r.effective_from IS NULL OR r.effective_from <= %(at)s)
    AND (r.effective_to IS NULL OR r.effective_to > %(at)s)
    AND o.status = 'ACTIVE' AND o.deleted_at IS NULL
"""
# All countries: every rule is read once and brought together by prefix and network, so that a destination meets a few
# sums instead of thousands of rules. Operators are numbered, for PostgreSQL has no smallest UUID: a destination has one
# operator where the smallest and the largest number are the same.
COUNTRIES: Final = f"""
    WITH offer AS MATERIALIZED (
        SELECT r.prefix, r.mcc, r.mnc, min(o.number) AS low, max(o.number) AS high
        FROM routing_routingrule r JOIN (
            SELECT id, status, deleted_at, row_number() OVER () AS number FROM operators_operator
        ) o ON o.id = r.operator_id
        WHERE {IN_FORCE}
        GROUP BY r.prefix, r.mcc, r.mnc
    )
    SELECT d.country, count(*), count(*) FILTER (WHERE c.id IS NULL), count(*) FILTER (WHERE c.low = c.high)
    FROM routing_destinationprefix d LEFT JOIN (
        SELECT h.id, min(o.low) AS low, max(o.high) AS high
        FROM (
            SELECT id, left(prefix, digits) COLLATE "C" AS prefix, mcc, mnc
            FROM routing_destinationprefix, LATERAL generate_series(2, length(prefix)) digits
        ) h
        JOIN offer o ON o.prefix = h.prefix
            AND (h.mcc = '' OR o.mcc IN ('', h.mcc)) AND (h.mnc = '' OR o.mnc IN ('', h.mnc))
        GROUP BY h.id
    ) c USING (id)
    GROUP BY d.country ORDER BY d.country
"""  # noqa: S608 - put together from the constants above
# One country: on each prefix rules of two operators are looked up and no more, for more would not change the answer. So
# the cost goes with the destinations, not with the rules.
OFFERS: Final = f"""
    SELECT r.operator_id::text AS id
    FROM routing_routingrule r JOIN operators_operator o ON o.id = r.operator_id
    WHERE r.prefix = p.prefix AND (p.mcc = '' OR r.mcc IN ('', p.mcc)) AND (p.mnc = '' OR r.mnc IN ('', p.mnc))
      AND {IN_FORCE}
"""  # noqa: S608 - put together from the constants above
DESTINATIONS: Final = f"""
    WITH destination AS MATERIALIZED (
        SELECT id, prefix, network, mcc, mnc FROM routing_destinationprefix WHERE country = %(country)s
    ), head AS MATERIALIZED (
        SELECT d.id, left(d.prefix, digits) COLLATE "C" AS prefix, d.mcc, d.mnc
        FROM destination d, LATERAL generate_series(2, length(d.prefix)) digits
    ), offer AS MATERIALIZED (
        SELECT p.prefix, p.mcc, p.mnc, one.id AS one, coalesce(other.id, one.id) AS other
        FROM (SELECT DISTINCT prefix, mcc, mnc FROM head) p
        CROSS JOIN LATERAL ({OFFERS} LIMIT 1) one
        LEFT JOIN LATERAL ({OFFERS} AND r.operator_id <> one.id::uuid LIMIT 1) other ON true
    ), covered AS MATERIALIZED (
        SELECT h.id, max(o.prefix) AS rule, least(min(one), min(other)) AS low, greatest(max(one), max(other)) AS high
        FROM head h JOIN offer o ON o.prefix = h.prefix AND o.mcc = h.mcc AND o.mnc = h.mnc
        GROUP BY h.id
    )
    SELECT d.prefix, d.network, d.mcc, d.mnc, c.rule, single.id, single.name,
           c.id IS NULL AND EXISTS (
               SELECT FROM routing_routingrule r JOIN operators_operator o ON o.id = r.operator_id
               WHERE r.prefix > d.prefix AND r.prefix < d.prefix || ':' AND {IN_FORCE}
           )
    FROM destination d LEFT JOIN covered c USING (id)
    LEFT JOIN operators_operator single ON c.low = c.high AND single.id = c.low::uuid
    ORDER BY d.prefix
"""  # noqa: S608 - put together from the constants above
CARRIERS: Final = """
    SELECT t.prefix, t.mcc, t.mnc, count(*), (array_agg(o.name ORDER BY o.name))[1:3]
    FROM unnest(%(prefixes)s::text[], %(mccs)s::text[], %(mncs)s::text[]) t (prefix, mcc, mnc)
    CROSS JOIN LATERAL (
        SELECT DISTINCT r.operator_id FROM routing_routingrule r
        WHERE r.prefix = t.prefix AND (t.mcc = '' OR r.mcc IN ('', t.mcc)) AND (t.mnc = '' OR r.mnc IN ('', t.mnc))
          AND r.active AND (r.effective_from IS NULL OR r.effective_from <= %(at)s)
          AND (r.effective_to IS NULL OR r.effective_to > %(at)s)
    ) r
    JOIN operators_operator o ON o.id = r.operator_id AND o.status = 'ACTIVE' AND o.deleted_at IS NULL
    GROUP BY t.prefix, t.mcc, t.mnc
"""


class Cover(StrEnum):
    NONE = "NONE"
    PARTLY = "PARTLY"
    FULL = "FULL"


@dataclass(frozen=True)
class CountryCover:
    """One country in numbers of its destination prefixes."""

    country: str
    destinations: int
    uncovered: int
    single: int


@dataclass(frozen=True)
class DestinationCover:
    """One destination prefix, the longest prefix of a rule that covers it, and its operator where there is only one."""

    prefix: str
    network: str
    mcc: str
    mnc: str
    rule: str | None
    operator_id: UUID | None
    operator: str | None
    # Rules on longer prefixes carry some of its numbers.
    is_partly: bool

    @property
    def cover(self) -> Cover:
        if self.rule is not None:
            return Cover.FULL
        return Cover.PARTLY if self.is_partly else Cover.NONE

    @property
    def is_single(self) -> bool:
        return self.operator_id is not None


def cover_of_countries(moment: datetime) -> list[CountryCover]:
    """Count every country's destinations; one query that reads all rules once."""
    return [CountryCover(*row) for row in _read(COUNTRIES, moment)]


def cover_of_country(country: str, moment: datetime) -> list[DestinationCover]:
    """List a country's destination prefixes by prefix, empty for those of no country; one query."""
    return [DestinationCover(*row) for row in _read(DESTINATIONS, moment, country)]


@dataclass(frozen=True)
class Carriers:
    """Who has a rule on a prefix: how many operators, and the first three of them by name."""

    count: int
    names: tuple[str, ...]

    @property
    def more(self) -> int:
        return self.count - len(self.names)


def carriers_of(rows: Iterable[DestinationCover], moment: datetime) -> dict[str, Carriers]:
    """Map destination prefixes to the operators of the longest rule that covers each; one query."""
    rows = list(rows)
    asked = {(row.rule, row.mcc, row.mnc) for row in rows if row.rule is not None}
    values: dict[str, Any] = {
        "prefixes": [key[0] for key in asked],
        "mccs": [key[1] for key in asked],
        "mncs": [key[2] for key in asked],
        "at": moment,
    }
    with connection.cursor() as cursor:
        cursor.execute(CARRIERS, values)
        found = {tuple(row[:3]): Carriers(row[3], tuple(row[4])) for row in cursor.fetchall()}
    return {row.prefix: found[key] for row in rows if (key := (row.rule, row.mcc, row.mnc)) in found}


def _read(query: str, moment: datetime, country: str = "") -> list[tuple[Any, ...]]:
    with transaction.atomic(), connection.cursor() as cursor:
        # The planner takes these for so dear that it would compile them, for seconds.
        cursor.execute("SET LOCAL jit = off")
        cursor.execute("SET LOCAL work_mem = '32MB'")
        cursor.execute(query, {"at": moment, "country": country})
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows
