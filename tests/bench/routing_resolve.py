"""Who carries a number, out of a million rules: ours in this process, and the bare lookups beside it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from psycopg import Connection

from operators.models import Operator
from operators.pending import connection_parameters
from routing.decisions import decide, decide_all
from routing.models import RoutingRule
from routing.models.destination import prefixes_of
from routing.resolver import Outcome, Question, Strategy
from tests.bench.results import Result, percentile, progress, spread
from tests.bench.rulebook import NOW, empty, fresh_rulebook, numbers

NUMBERS: Final = 5_000
LISTS: Final = 20
LIST: Final = 1_000
REPETITIONS: Final = 3
WARM_UP: Final = 200
# What a router tries before it gives a message up.
TRIED: Final = 5
SHARE: Final = 0.6
SLOWEST: Final = 2.0  # ms
LIST_RATE: Final = 10_000

OURS: Final = "decide()"
FIRST: Final = "plain psycopg, the longest prefix alone"
ALL: Final = "plain psycopg, every candidate"

_RULE: Final = RoutingRule._meta.db_table
_FIRST: Final = f"""
    SELECT id, operator_id, prefix, cost_per_segment FROM {_RULE}
    WHERE prefix = ANY (%s) ORDER BY length(prefix) DESC LIMIT 1
"""  # noqa: S608 - the table's name is ours
_ALL: Final = f"""
    SELECT rule.id, rule.operator_id, operator.name, rule.prefix, rule.priority, rule.weight, rule.cost_per_segment,
           rule.currency, operator.health_state
    FROM {_RULE} AS rule JOIN {Operator._meta.db_table} AS operator ON operator.id = rule.operator_id
    WHERE rule.prefix = ANY (%s) AND operator.status = 'ACTIVE' AND operator.deleted_at IS NULL
      AND (rule.effective_from IS NULL OR rule.effective_from <= %s)
      AND (rule.effective_to IS NULL OR rule.effective_to > %s)
"""  # noqa: S608


def run(scale: float) -> list[Result]:
    fresh_rulebook(scale)
    asked = numbers(max(500, int(NUMBERS * scale)))
    results = []
    with Connection.connect(**connection_parameters(), autocommit=True) as database:
        for strategy in Strategy:
            results += _single(strategy, asked, database)
    results += _lists(scale)
    empty()
    return results


def _single(strategy: Strategy, asked: Sequence[str], database: Connection[Any]) -> list[Result]:
    question = Question(number="", as_of=NOW, strategy=strategy, currency="EUR")
    outcomes: dict[Outcome, int] = dict.fromkeys(Outcome, 0)

    def ours(number: str) -> None:
        answer = decide(Question(number, NOW, strategy, question.currency), limit=TRIED)
        outcomes[answer.outcome] += 1

    def first(number: str) -> None:
        database.execute(_FIRST, [prefixes_of(number)], prepare=True).fetchall()

    def every(number: str) -> None:
        database.execute(_ALL, [prefixes_of(number), NOW, NOW], prepare=True).fetchall()

    sides = {OURS: ours, FIRST: first, ALL: every}
    times: dict[str, list[float]] = {name: [] for name in sides}
    rates: dict[str, list[float]] = {name: [] for name in sides}
    for repetition in range(REPETITIONS):
        for name in list(sides) if repetition % 2 == 0 else list(reversed(sides)):
            took = _timed(sides[name], asked)
            times[name] += took
            rates[name].append(1000 * len(took) / sum(took))
    assert outcomes[Outcome.ROUTED] > len(asked) / 2, outcomes
    progress(f"{strategy}: {dict(outcomes)}")
    what = f"resolve one number by {strategy}"
    share = statistics.median(rates[OURS]) / statistics.median(rates[FIRST])
    of_all = statistics.median(rates[OURS]) / statistics.median(rates[ALL])
    slowest = percentile(times[OURS], 99)
    return [
        Result(
            f"{what}, ms p50/p95/p99",
            "/".join(f"{percentile(times[OURS], percent):.2f}" for percent in (50, 95, 99)),
            f"p99 <= {SLOWEST:.0f}",
            slowest <= SLOWEST,
        ),
        *(Result(f"{what}, {name}, numbers/s", spread(rates[name])) for name in sides),
        Result(f"{what}, share of {FIRST}", f"{share:.0%}", f">= {SHARE:.0%}", share >= SHARE),
        Result(f"{what}, share of {ALL}", f"{of_all:.0%}"),
    ]


def _timed(side: Callable[[str], None], asked: Sequence[str]) -> list[float]:
    for number in asked[:WARM_UP]:
        side(number)
    took = []
    for number in asked:
        began = time.perf_counter()
        side(number)
        took.append((time.perf_counter() - began) * 1000)
    return took


def _lists(scale: float) -> list[Result]:
    question = Question("", NOW)
    rates = []
    for seed in range(max(3, int(LISTS * scale))):
        asked = numbers(LIST, seed=100 + seed)
        began = time.perf_counter()
        answers = decide_all(question, asked, limit=2)
        rates.append(len(asked) / (time.perf_counter() - began))
        assert len(answers) == LIST
    # The first one prepares the statement.
    median = statistics.median(rates[1:])
    return [
        Result(
            f"resolve a list of {LIST:,} numbers, numbers/s",
            spread(rates[1:]),
            f">= {LIST_RATE:,}",
            median >= LIST_RATE,
        )
    ]
