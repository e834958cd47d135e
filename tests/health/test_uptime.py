from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Final

from hypothesis import given
from hypothesis import strategies as st

from health.reducer import State
from health.timeline import Span, clip, spans
from health.uptime import Uptime, uptime

START: Final = datetime(2026, 11, 1, tzinfo=UTC)
MINUTE: Final = timedelta(minutes=1)
LENGTH: Final = 600

minutes = st.integers(min_value=0, max_value=LENGTH)
moves = st.lists(st.tuples(minutes, st.sampled_from(list(State))), max_size=30)
windows = st.lists(
    st.tuples(st.integers(min_value=-60, max_value=LENGTH), st.integers(min_value=0, max_value=LENGTH)), max_size=5
)


def minute(number: int) -> datetime:
    return START + number * MINUTE


def cut(made: list[tuple[int, State]], before: State = State.UNKNOWN) -> list[Span]:
    return spans(((minute(at), state) for at, state in made), before=before, start=START, end=minute(LENGTH))


def by_minutes(made: list[tuple[int, State]], maintenances: list[tuple[int, int]], before: State) -> Uptime:
    """Walk through every minute: what was decided last of all that is dated until then."""
    sums = {"up": 0, "down": 0, "maintenance": 0, "unknown": 0}
    for now in range(LENGTH):
        state = before
        for number, (at, after) in enumerate(made):
            is_taken_back = any(later <= at for later, _ in made[number + 1 :])
            if at <= now and not is_taken_back:
                state = after
        if any(start <= now < start + length for start, length in maintenances):
            sums["maintenance"] += 1
        elif state in {State.HEALTHY, State.DEGRADED}:
            sums["up"] += 1
        else:
            sums["down" if state is State.UNHEALTHY else "unknown"] += 1
    return Uptime(**{name: number * MINUTE for name, number in sums.items()})


@given(moves, windows, st.sampled_from(list(State)))
def test_it_agrees_with_walking_through_every_minute(
    made: list[tuple[int, State]], maintenances: list[tuple[int, int]], before: State
) -> None:
    figured = uptime(cut(made, before), [(minute(start), minute(start + length)) for start, length in maintenances])

    assert figured == by_minutes(made, maintenances, before)
    assert figured.total == LENGTH * MINUTE


@given(moves, st.sampled_from(list(State)))
def test_it_cuts_the_time_without_gap_or_overlap(made: list[tuple[int, State]], before: State) -> None:
    whole = cut(made, before)

    assert whole[0].start == START
    assert whole[-1].end == minute(LENGTH)
    for one, following in pairwise(whole):
        assert one.end == following.start
        assert one.state is not following.state


@given(moves, minutes, minutes)
def test_it_keeps_exactly_what_lies_between_two_moments(made: list[tuple[int, State]], one: int, other: int) -> None:
    start, end = minute(min(one, other)), minute(max(one, other))

    kept = clip(cut(made), start=start, end=end)

    assert sum((span.length for span in kept), timedelta()) == end - start
    assert all(span.length > timedelta() for span in kept)


def test_it_counts_healthy_and_degraded_as_up_and_only_unhealthy_as_down() -> None:
    made = [(0, State.HEALTHY), (100, State.DEGRADED), (200, State.UNHEALTHY), (300, State.UNKNOWN)]

    figured = uptime(cut(made), [])

    assert (figured.up, figured.down, figured.unknown) == (200 * MINUTE, 100 * MINUTE, 300 * MINUTE)
    assert figured.share == 2 / 3


def test_it_leaves_maintenance_out_either_way_and_once_where_two_overlap() -> None:
    made = [(0, State.UNHEALTHY), (300, State.HEALTHY)]
    works = [(minute(-60), minute(100)), (minute(50), minute(150)), (minute(590), minute(900))]

    figured = uptime(cut(made), works)

    assert (figured.up, figured.down, figured.maintenance) == (290 * MINUTE, 150 * MINUTE, 160 * MINUTE)


def test_it_knows_no_uptime_where_nothing_was_measured() -> None:
    assert uptime(cut([]), []).share is None
    assert uptime([], []).total == timedelta()


def test_it_lets_a_delayed_report_take_back_the_silence_that_the_clock_had_declared() -> None:
    made = [(0, State.HEALTHY), (60, State.UNKNOWN), (30, State.UNHEALTHY)]

    assert [(span.start, span.state) for span in cut(made)] == [
        (START, State.HEALTHY),
        (minute(30), State.UNHEALTHY),
    ]
