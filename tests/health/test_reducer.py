"""The state machine of contract §5: by example, on the sample, and against a second, plain implementation."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Final

import pytest
from django.conf import settings
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from health.reducer import Condition, Move, State, expire, is_late, reduce

NOON: Final = datetime(2026, 11, 1, 12, tzinfo=UTC)
SAMPLE: Final = Path(settings.BASE_DIR) / "deploy" / "dev" / "sample" / "health_reports.ndjson"
EXPECTED: Final = Path(settings.BASE_DIR) / "tests" / "data" / "health_expected.json"

JUST_ABOVE_5: Final = math.nextafter(0.05, 1)
JUST_ABOVE_20: Final = math.nextafter(0.20, 1)


@dataclass(frozen=True)
class Observation:
    operator: str
    at: datetime
    is_bound: bool
    error_rate: float


class Fleet:
    """Drive the reducer as ingest does: late reports move nothing."""

    def __init__(self) -> None:
        self.conditions: dict[str, Condition] = {}
        self.moves: list[tuple[str, Move]] = []

    def take(self, observations: Iterable[Observation]) -> None:
        for each in observations:
            condition = self.conditions.get(each.operator, Condition())
            if is_late(condition, each.at):
                continue
            condition, moves = reduce(
                condition, observed_at=each.at, is_bound=each.is_bound, error_rate=each.error_rate
            )
            self.conditions[each.operator] = condition
            self.moves += [(each.operator, move) for move in moves]

    def told(self) -> list[tuple[str, str, str, str, datetime]]:
        return [(name, move.before.value, move.after.value, move.reason.value, move.at) for name, move in self.moves]


class PlainOperator:
    """Keep every report, and look back over them for each rule, in the contract's words."""

    def __init__(self) -> None:
        self.state = "UNKNOWN"
        self.seen: list[Observation] = []
        self.moves: list[tuple[str, str, str, datetime]] = []

    def take(self, report: Observation) -> None:
        if any(report.at <= other.at for other in self.seen):
            return
        if self.seen and (report.at - self.seen[-1].at).total_seconds() > 60:
            self.move("UNKNOWN", "STALE", self.seen[-1].at + timedelta(minutes=1))
        self.seen.append(report)
        if not report.is_bound:
            self.move("UNHEALTHY", "BIND_LOST", report.at)
        elif self.state == "UNKNOWN":
            self.move("HEALTHY", "BOUND", report.at)
        elif self.state == "HEALTHY" and self.has_held(lambda rate: rate > 0.05):
            self.move("DEGRADED", "ERROR_RATE", report.at)
        elif self.state == "DEGRADED" and self.has_held(lambda rate: rate > 0.20):
            self.move("UNHEALTHY", "ERROR_RATE", report.at)
        elif self.state == "DEGRADED" and self.has_held(lambda rate: rate <= 0.05):
            self.move("HEALTHY", "ERROR_RATE", report.at)
        elif self.state == "UNHEALTHY" and report.error_rate <= 0.20:
            self.move("DEGRADED", "BOUND", report.at)

    def has_held(self, is_so: Callable[[float], bool]) -> bool:
        newest = following = self.seen[-1]
        first = None
        for report in reversed(self.seen):
            is_silence = (following.at - report.at).total_seconds() > 60
            if not report.is_bound or not is_so(report.error_rate) or is_silence:
                break
            first = following = report
        return first is not None and (newest.at - first.at).total_seconds() >= 60

    def move(self, after: str, reason: str, at: datetime) -> None:
        if after != self.state:
            self.moves.append((self.state, after, reason, at))
            self.state = after


gaps = st.sampled_from(
    [-70.0, -60.0, -10.0, -1.0, 0.0, 0.000001, 1.0, 10.0, 20.0, 30.0, 40.0, 59.999999, 60.0, 60.000001, 61.0, 120.0]
)
rates = st.sampled_from([0.0, 0.05, JUST_ABOVE_5, 0.20, JUST_ABOVE_20, 1.0]) | st.floats(0, 1)
# Mostly long stretches of one kind, or hardly a run would hold.
stretches = st.tuples(
    st.sampled_from(["Telia", "Telia", "Orange"]),
    st.integers(5, 9).map(lambda count: [10.0] * count) | st.lists(gaps, min_size=1, max_size=4),
    st.sampled_from([True, True, True, True, False]),
    rates,
)


@st.composite
def deliveries(draw: st.DrawFn) -> list[Observation]:
    """Draw reports of three operators as they arrive: some late, some twice, some out of order."""
    delivered: list[Observation] = []
    clocks: dict[str, datetime] = {}
    for operator, steps, is_bound, rate in draw(st.lists(stretches, max_size=12)):
        for step in steps:
            clocks[operator] = clocks.get(operator, NOON) + timedelta(seconds=step)
            delivered.append(Observation(operator, clocks[operator], is_bound, rate))
    if delivered:
        delivered += draw(st.lists(st.sampled_from(delivered), max_size=5))
    return draw(st.permutations(delivered)) if draw(st.integers(0, 4)) == 0 else delivered


@given(deliveries())
@hypothesis_settings(max_examples=400, deadline=None)
def test_it_agrees_with_the_plain_implementation(delivered: list[Observation]) -> None:
    fleet = Fleet()
    fleet.take(delivered)
    plain: dict[str, PlainOperator] = {}
    for each in delivered:
        plain.setdefault(each.operator, PlainOperator()).take(each)

    for name, other in plain.items():
        assert [told[1:] for told in fleet.told() if told[0] == name] == other.moves
        assert fleet.conditions[name].state == other.state
        assert fleet.conditions[name].observed_at == other.seen[-1].at


@given(deliveries(), st.randoms(use_true_random=False))
@hypothesis_settings(max_examples=100, deadline=None)
def test_the_whole_stream_again_shuffled_and_with_repeats_changes_nothing(
    delivered: list[Observation], random: Random
) -> None:
    fleet = Fleet()
    fleet.take(delivered)
    conditions, moves = dict(fleet.conditions), fleet.told()

    again = delivered * 2
    random.shuffle(again)
    fleet.take(again)

    assert (fleet.conditions, fleet.told()) == (conditions, moves)


@given(deliveries())
@hypothesis_settings(max_examples=100, deadline=None)
def test_the_clock_finds_the_same_moves_as_the_next_report(delivered: list[Observation]) -> None:
    """Whoever expires an operator as soon as it has been silent for 60 s of its own time tells nothing else."""
    by_report, by_clock = Fleet(), Fleet()
    by_report.take(delivered)
    for each in delivered:
        condition = by_clock.conditions.get(each.operator, Condition())
        if condition.observed_at is not None and each.at > condition.observed_at + timedelta(seconds=60):
            condition, moves = expire(condition)
            by_clock.conditions[each.operator], twice = expire(condition)
            assert twice == ()
            by_clock.moves += [(each.operator, move) for move in moves]
        by_clock.take([each])

    assert by_clock.told() == by_report.told()
    assert by_clock.conditions == by_report.conditions


def test_it_gives_the_sample_exactly_the_moves_expected() -> None:
    expected = json.loads(EXPECTED.read_text())
    lines = [json.loads(line) for line in SAMPLE.read_text().splitlines()]
    assert (len(lines), len({line["eventId"] for line in lines})) == (expected["delivered"], expected["distinct"])
    fleet = Fleet()

    fleet.take(
        Observation(
            line["operator"],
            datetime.fromisoformat(line["observedAt"]),
            line["bindState"] != "UNBOUND",
            line["errorRate"],
        )
        for line in lines
    )

    found = [
        {"operator": name, "from": before, "to": after, "at": f"{at:%Y-%m-%dT%H:%M:%SZ}", "reason": reason}
        for name, before, after, reason, at in sorted(fleet.told(), key=lambda told: told[0])
    ]
    assert found == expected["transitions"]
    assert len(found) == 69


LOST: Final = None
Line = tuple[float, float | None]


def moves_of(lines: Iterable[Line]) -> list[tuple[float, str, str]]:
    """Take reports in, as (second, error rate or LOST), and return the moves as (second, state, reason)."""
    fleet = Fleet()
    fleet.take(
        Observation("Telia", NOON + timedelta(seconds=second), rate is not LOST, 0.0 if rate is None else rate)
        for second, rate in lines
    )
    return [(round((at - NOON).total_seconds(), 6), after, reason) for _, _, after, reason, at in fleet.told()]


def every(step: float, rate: float | None, *, start: float, end: float) -> list[Line]:
    return [(start + step * count, rate) for count in range(math.floor((end - start) / step) + 1)]


EXAMPLES: dict[str, tuple[list[Line], list[tuple[float, str, str]]]] = {
    "1: a bound report ends UNKNOWN, whatever its error rate": ([(0, 1.0)], [(0, "HEALTHY", "BOUND")]),
    "1: an unbound one too": ([(0, LOST)], [(0, "UNHEALTHY", "BIND_LOST")]),
    "2: HEALTHY loses its bind": ([(0, 0), (10, LOST)], [(0, "HEALTHY", "BOUND"), (10, "UNHEALTHY", "BIND_LOST")]),
    "2: DEGRADED loses its bind": (
        [*every(10, 0.1, start=0, end=60), (70, LOST)],
        [(0, "HEALTHY", "BOUND"), (60, "DEGRADED", "ERROR_RATE"), (70, "UNHEALTHY", "BIND_LOST")],
    ),
    "2: a bind that stays lost is no move": (
        every(10, LOST, start=0, end=100),
        [(0, "UNHEALTHY", "BIND_LOST")],
    ),
    "3: above 5 % for exactly 60 s": (
        every(10, JUST_ABOVE_5, start=0, end=60),
        [(0, "HEALTHY", "BOUND"), (60, "DEGRADED", "ERROR_RATE")],
    ),
    "3: not quite 60 s": ([*every(10, 0.1, start=0, end=50), (59.999999, 0.1)], [(0, "HEALTHY", "BOUND")]),
    "3: two reports 60 s apart are enough": (
        [(0, 0.1), (60, 0.1)],
        [(0, "HEALTHY", "BOUND"), (60, "DEGRADED", "ERROR_RATE")],
    ),
    "3: exactly 5 % is not above": (every(10, 0.05, start=0, end=300), [(0, "HEALTHY", "BOUND")]),
    "3: a calm report breaks the run": (
        [*every(10, 0.1, start=0, end=50), (55, 0.05), *every(10, 0.1, start=60, end=110)],
        [(0, "HEALTHY", "BOUND")],
    ),
    "3: above 20 % leads to DEGRADED first, and one report makes one move": (
        every(10, 0.5, start=0, end=60),
        [(0, "HEALTHY", "BOUND"), (60, "DEGRADED", "ERROR_RATE")],
    ),
    "4: the run above 20 % goes on through the move": (
        every(10, 0.5, start=0, end=70),
        [(0, "HEALTHY", "BOUND"), (60, "DEGRADED", "ERROR_RATE"), (70, "UNHEALTHY", "ERROR_RATE")],
    ),
    "4: above 20 % for exactly 60 s": (
        [*every(10, 0.2, start=0, end=60), *every(10, JUST_ABOVE_20, start=70, end=130)],
        [(0, "HEALTHY", "BOUND"), (60, "DEGRADED", "ERROR_RATE"), (130, "UNHEALTHY", "ERROR_RATE")],
    ),
    "4: exactly 20 % is not above": (
        every(10, 0.2, start=0, end=300),
        [(0, "HEALTHY", "BOUND"), (60, "DEGRADED", "ERROR_RATE")],
    ),
    "4: 20 % breaks the run above 20 %, and not the one above 5 %": (
        [*every(10, 0.5, start=0, end=40), (50, 0.2), *every(10, 0.5, start=60, end=110)],
        [(0, "HEALTHY", "BOUND"), (60, "DEGRADED", "ERROR_RATE")],
    ),
    "4: at most 5 % for exactly 60 s": (
        [*every(10, 0.1, start=0, end=60), *every(10, 0.05, start=70, end=130)],
        [(0, "HEALTHY", "BOUND"), (60, "DEGRADED", "ERROR_RATE"), (130, "HEALTHY", "ERROR_RATE")],
    ),
    "4: not quite 60 s of calm": (
        [*every(10, 0.1, start=0, end=60), *every(10, 0, start=70, end=120), (129.999999, 0)],
        [(0, "HEALTHY", "BOUND"), (60, "DEGRADED", "ERROR_RATE")],
    ),
    "5: UNHEALTHY comes back by way of DEGRADED, at 20 % or below": (
        [(0, LOST), (10, JUST_ABOVE_20), (20, 0.2)],
        [(0, "UNHEALTHY", "BIND_LOST"), (20, "DEGRADED", "BOUND")],
    ),
    "5: the calm that ends UNHEALTHY also counts for HEALTHY": (
        [(0, LOST), *every(10, 0, start=10, end=70)],
        [(0, "UNHEALTHY", "BIND_LOST"), (10, "DEGRADED", "BOUND"), (70, "HEALTHY", "ERROR_RATE")],
    ),
    "6: exactly 60 s are no silence": ([(0, 0), (60, 0), (120, 0)], [(0, "HEALTHY", "BOUND")]),
    "6: a millionth more is, dated 60 s after the last report": (
        [(0, 0), (60.000001, 0)],
        [(0, "HEALTHY", "BOUND"), (60, "UNKNOWN", "STALE"), (60.000001, "HEALTHY", "BOUND")],
    ),
    "6: before an unbound report": (
        [(0, 0), (100, LOST)],
        [(0, "HEALTHY", "BOUND"), (60, "UNKNOWN", "STALE"), (100, "UNHEALTHY", "BIND_LOST")],
    ),
    "6: UNHEALTHY too, and then a bound report leads to HEALTHY": (
        [(0, LOST), (100, 0.5)],
        [(0, "UNHEALTHY", "BIND_LOST"), (60, "UNKNOWN", "STALE"), (100, "HEALTHY", "BOUND")],
    ),
    "a silence breaks every run": (
        [*every(10, 0.1, start=0, end=40), *every(10, 0.1, start=101, end=151)],
        [(0, "HEALTHY", "BOUND"), (100, "UNKNOWN", "STALE"), (101, "HEALTHY", "BOUND")],
    ),
    "an unbound report breaks every run": (
        [*every(10, 0.1, start=0, end=50), (51, LOST), *every(10, 0, start=55, end=105)],
        [(0, "HEALTHY", "BOUND"), (51, "UNHEALTHY", "BIND_LOST"), (55, "DEGRADED", "BOUND")],
    ),
    "a late report moves nothing": ([(0, 0), (20, 0), (10, LOST)], [(0, "HEALTHY", "BOUND")]),
    "nor does one of the same moment": ([(0, 0), (0, LOST)], [(0, "HEALTHY", "BOUND")]),
    "nor does it break a run": (
        [*every(10, 0.1, start=0, end=50), (45, 0.0), (60, 0.1)],
        [(0, "HEALTHY", "BOUND"), (60, "DEGRADED", "ERROR_RATE")],
    ),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_it_keeps_rule(name: str) -> None:
    lines, expected = EXAMPLES[name]
    assert moves_of(lines) == expected


def test_a_run_that_the_clock_has_broken_stays_broken() -> None:
    """Reports held up on their way come with gaps below 60 s, but after the clock has told the silence."""
    condition = Condition()
    for second in (0.0, 10.0, 20.0, 30.0):
        condition, _ = reduce(condition, observed_at=NOON + timedelta(seconds=second), is_bound=True, error_rate=0.1)
    condition, moves = expire(condition)
    assert [(move.after, move.at) for move in moves] == [(State.UNKNOWN, NOON + timedelta(seconds=90))]

    found: list[Move] = []
    for second in (40.0, 50.0, 60.0, 70.0, 80.0, 90.0, 99.999999, 100.0):
        condition, moves = reduce(
            condition, observed_at=NOON + timedelta(seconds=second), is_bound=True, error_rate=0.1
        )
        found += moves

    assert [(move.after, (move.at - NOON).total_seconds()) for move in found] == [
        (State.HEALTHY, 40),
        (State.DEGRADED, 100),
    ]
