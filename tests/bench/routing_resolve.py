"""Resolution with a million rules, in process, beside the bare statement on a connection of its own."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from typing import Final

import psycopg
from django.db import connection

from routing import lookup
from routing.decisions import SPARE, decide, decide_all
from routing.resolver import Question, Strategy
from routing.rulebook import rulebook
from tests.bench.results import Result, percentile, progress, spread
from tests.bench.rulebook import NOW, empty, fresh_rulebook, numbers

NUMBERS: Final = 5_000
LIST: Final = 1_000
ROUNDS: Final = 5
LIST_ROUNDS: Final = 25  # so many that a slow moment of the machine does not decide
TURN: Final = 100
LIMIT: Final = 5
SHARE: Final = 0.6


def run(scale: float) -> list[Result]:
    fresh_rulebook(scale)
    asked = numbers(max(500, int(NUMBERS * scale)))
    # As the workers do once they are up (config/gunicorn.py).
    gc.collect()
    gc.freeze()
    bare = BareLookup()
    ours, limits = [], []
    spreads: list[list[float]] = []
    decide_each(asked)
    bare.each(asked)
    for number in range(ROUNDS):
        progress(f"round {number + 1} of {ROUNDS}")
        times, bare_times = in_turns(asked, decide_each, bare.each)
        ours.append(len(asked) / sum(times))
        spreads.append([percentile(times, percent) * 1000 for percent in (50, 95, 99)])
        limits.append(len(asked) / sum(bare_times))
    share = sorted(mine / limit for mine, limit in zip(ours, limits, strict=True))[ROUNDS // 2]
    usual = [sorted(column)[ROUNDS // 2] for column in zip(*spreads, strict=True)]
    return [
        Result(
            f"resolve one number of {len(asked):,}, ms p50/p95/p99, medians of {ROUNDS} rounds",
            "/".join(f"{figure:.2f}" for figure in usual),
            "p99 <= 2",
            usual[-1] <= 2,
        ),
        Result("bare SQL lookup of the same rules, numbers/s", spread(limits)),
        Result("resolve one number, numbers/s", spread(ours)),
        Result("share of the bare lookup's rate", f"{share:.0%}", f">= {SHARE:.0%}", share >= SHARE),
        _first_list(),
        *(
            list_result(what, many, strategy)
            for what, many in (
                ("of the whole world", numbers(LIST, seed=13)),
                ("of one country", numbers(LIST, seed=13, countries=1)),
            )
            for strategy in (Strategy.PRIORITY, Strategy.WEIGHTED)
        ),
        *_emptied(),
    ]


def decide_each(asked: Sequence[str]) -> list[float]:
    return [timed(lambda number=number: decide(Question(number, NOW), limit=LIMIT)) for number in asked]  # type: ignore[misc]


def in_turns(
    asked: Sequence[str], mine: Callable[[Sequence[str]], list[float]], theirs: Callable[[Sequence[str]], list[float]]
) -> tuple[list[float], list[float]]:
    """Give both sides the same numbers, some at a time, so that a slow moment of the machine hits both."""
    my_times: list[float] = []
    their_times: list[float] = []
    for start in range(0, len(asked), TURN):
        some = asked[start : start + TURN]
        my_times += mine(some)
        their_times += theirs(some)
    return my_times, their_times


def _first_list() -> Result:
    many = numbers(LIST, seed=12)
    took = timed(lambda: decide_all(Question(many[0], NOW), many, limit=2))
    _, rules = rulebook().current()
    size = sum(column.nbytes for column in rules.columns.values()) / 1e6
    return Result(f"first list of {LIST:,} numbers, which reads all rules, s", f"{took:.1f} ({size:.0f} MB)")


def list_result(what: str, many: Sequence[str], strategy: Strategy) -> Result:
    question = Question(many[0], NOW, strategy)
    decide_all(question, many, limit=2)
    rates = [len(many) / timed(lambda: decide_all(question, many, limit=2)) for _ in range(LIST_ROUNDS)]
    return Result(
        f"list of {len(many):,} numbers {what}, {strategy}, numbers/s",
        spread(rates),
        ">= 10,000",
        sorted(rates)[LIST_ROUNDS // 2] >= 10_000,
    )


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


class BareLookup:
    """The statement that `decide` runs for one number, through psycopg alone: prepared, fetched, nothing ranked."""

    def __init__(self) -> None:
        self.statement = lookup.nearest_statement(Strategy.PRIORITY, False, LIMIT + SPARE, True)
        self.values = {"as_of": NOW, "currency": "", "mcc": "", "mnc": "", "down": []}
        parameters = connection.get_connection_params()
        for name in ("cursor_factory", "context", "prepare_threshold"):
            parameters.pop(name, None)
        self.cursor = psycopg.connect(**parameters, autocommit=True).cursor()

    def each(self, asked: Sequence[str]) -> list[float]:
        return [timed(lambda number=number: self.fetch(number)) for number in asked]  # type: ignore[misc]

    def fetch(self, number: str) -> None:
        values = {**self.values, "number": number}
        self.cursor.execute(self.statement, values, prepare=True, binary=True).fetchall()


def _emptied() -> list[Result]:
    empty()
    return []
