"""A rulebook of realistic shape: 1,000,000 rules of 2,000 operators over the number ranges of the whole world.

Aggregators list many countries, network operators their own in depth; every rate sheet nests ranges inside its country.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import cycle, islice
from typing import Final
from uuid import UUID

from django.db import connection
from django.db.backends.utils import CursorWrapper
from phonenumbers.carrierdata import CARRIER_DATA
from phonenumbers.data import _COUNTRY_CODE_TO_REGION_CODE

from operators.models import HealthState, Operator, Status
from routing.models import RoutingRule
from tests.bench.console import fill
from tests.bench.results import progress

RULES: Final = 1_000_000
OPERATORS: Final = 2_000
NOW: Final = datetime(2026, 3, 2, tzinfo=UTC)
TABLE: Final = RoutingRule._meta.db_table
COLUMNS: Final = (
    "id, operator_id, prefix, mcc, mnc, priority, weight, cost_per_segment, currency, effective_from, effective_to, "
    "active, version, created_by, updated_by, created_at, updated_at"
)
# Operators that are not ACTIVE or not well are the exception, as in life.
STATUSES: Final = (Status.ACTIVE,) * 46 + (Status.SUSPENDED,) * 2 + (Status.INACTIVE,) * 2
STATES: Final = (
    (HealthState.HEALTHY,) * 44
    + (HealthState.DEGRADED,) * 2
    + (HealthState.UNHEALTHY,) * 2
    + (HealthState.UNKNOWN,) * 2
)
CURRENCIES: Final = ("EUR",) * 45 + ("USD",) * 40 + ("GBP",) * 10 + ("CHF",) * 3 + ("SEK",) * 2

Range = tuple[str, str, str]  # prefix, MCC, MNC


def fresh_rulebook(scale: float, *, operators: int = OPERATORS) -> list[UUID]:
    """Begin anew with so much of it; returns the operators. Indexes are built at the end, as a restore does it."""
    empty()
    count = max(20, int(operators * scale))
    fill(count)
    made = list(Operator.objects.filter(created_by="bench").order_by("name").values_list("pk", flat=True))
    chance = random.Random(7)
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
        cursor.executemany(
            f"UPDATE {Operator._meta.db_table} SET status = %s, health_state = %s WHERE id = %s",  # noqa: S608
            [(chance.choice(STATUSES), chance.choice(STATES), operator_id) for operator_id in made],
        )
        builds = _drop_indexes(cursor)
        with cursor.copy(f"COPY {TABLE} ({COLUMNS}) FROM STDIN") as copy:
            lines = islice(_lines(made, chance), int(RULES * scale))
            while some := "".join(islice(lines, 10_000)):
                copy.write(some)
        progress("building the indexes of the rules")
        for build in builds:
            cursor.execute(build)
        cursor.execute(f"VACUUM ANALYZE {TABLE}")
        cursor.execute(f"VACUUM ANALYZE {Operator._meta.db_table}")
        cursor.execute("RESET statement_timeout")
    progress(f"{RoutingRule.objects.count():,} rules of {len(made):,} operators")
    return made


def empty() -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"TRUNCATE {TABLE}")
    Operator.objects.filter(created_by="bench").delete()


def numbers(count: int, *, seed: int = 11, countries: int | None = None) -> list[str]:
    """Make numbers of ranges that exist, from the whole world or from the few largest countries."""
    chance = random.Random(seed)
    world = _world()
    chosen = sorted(world, key=lambda code: -len(world[code]))[:countries]
    ranges = [prefix for code in chosen for prefix, _, _ in world[code]]
    made = []
    for _ in range(count):
        prefix = chance.choice(ranges)
        made.append(prefix + "".join(chance.choices("0123456789", k=max(0, 12 - len(prefix)))))
    return made


def _world() -> dict[str, list[Range]]:
    """Read the ranges of mobile networks by calling code; each range's network is invented."""
    world: dict[str, list[Range]] = {str(code): [] for code in _COUNTRY_CODE_TO_REGION_CODE}
    for digits in CARRIER_DATA:
        code = next(digits[:length] for length in (1, 2, 3) if digits[:length] in world)
        world[code].append((f"+{digits}", str(200 + int(code) % 500), f"{int(digits) % 20:02}"))
    return world


def _lines(operators: Sequence[UUID], chance: random.Random) -> Iterator[str]:
    world = _world()
    codes = list(world)
    # Traffic, and with it offers, goes where most ranges are.
    taken: dict[UUID, set[str]] = {}
    popularity = [len(world[code]) + 20 for code in codes]
    for operator_id in cycle(operators):
        chosen = dict.fromkeys(chance.choices(codes, popularity, k=chance.choice((1, 3, 10, 40))))
        currency, priority = chance.choice(CURRENCIES), chance.choice((5, 10, 10, 10, 20))
        offered = taken.setdefault(operator_id, set())
        for code in chosen:
            ranges = chance.sample(world[code], min(len(world[code]), 500 // len(chosen)))
            for prefix, mcc, mnc in [(f"+{code}", "", ""), *ranges]:
                if prefix not in offered:
                    offered.add(prefix)
                    yield from _offer(operator_id, prefix, (mcc, mnc), priority, currency, chance)


def _offer(
    operator_id: UUID, prefix: str, network: tuple[str, str], priority: int, currency: str, chance: random.Random
) -> Iterator[str]:
    kind = chance.random()
    change = (NOW + timedelta(days=chance.randint(-200, 60))).isoformat()
    if kind < 0.1:  # a price that changes on a day
        yield _line(operator_id, prefix, "", "", priority, currency, "\\N", change, chance)
        yield _line(operator_id, prefix, "", "", priority, currency, change, "\\N", chance)
        return
    yield _line(operator_id, prefix, "", "", priority, currency, "\\N", "\\N", chance)
    if kind < 0.15 and network[0]:  # numbers that were ported cost something else
        yield _line(operator_id, prefix, *network, priority, currency, "\\N", "\\N", chance)


def _line(
    operator_id: UUID,
    prefix: str,
    mcc: str,
    mnc: str,
    priority: int,
    currency: str,
    start: str,
    end: str,
    chance: random.Random,
) -> str:
    rule_id = UUID(int=chance.getrandbits(128), version=4)
    cost = round(chance.lognormvariate(-3.5, 0.8), 4)
    return (
        f"{rule_id}\t{operator_id}\t{prefix}\t{mcc}\t{mnc}\t{priority}\t{chance.choice((50, 100, 100, 200))}\t{cost}\t"
        f"{currency}\t{start}\t{end}\tt\t1\tbench\tbench\t{NOW.isoformat()}\t{NOW.isoformat()}\n"
    )


def _drop_indexes(cursor: CursorWrapper) -> list[str]:
    """Drop all but the primary key, and return the statements that make them again."""
    cursor.execute(
        "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = %s::regclass AND contype = 'x'",
        [TABLE],
    )
    constraints = cursor.fetchall()
    cursor.execute("SELECT indexname, indexdef FROM pg_indexes WHERE tablename = %s", [TABLE])
    indexes = [(name, made) for name, made in cursor.fetchall() if name.startswith("routing_rule_by_")]
    for name, _ in constraints:
        cursor.execute(f"ALTER TABLE {TABLE} DROP CONSTRAINT {name}")
    for name, _ in indexes:
        cursor.execute(f"DROP INDEX {name}")
    return [made for _, made in indexes] + [
        f"ALTER TABLE {TABLE} ADD CONSTRAINT {name} {made}" for name, made in constraints
    ]
