from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from health import charts
from health.charts import HEIGHT, Point
from health.ranges import DAY, HOUR, WEEK, Range, range_of
from health.reducer import State
from health.timeline import Span

NOW: Final = datetime(2026, 11, 18, 10, 34, 56, tzinfo=UTC)
HOUR_FRAME: Final = HOUR.until(NOW)
LIMITS: Final = ((0.05, "degraded"), (0.2, "unhealthy"))


def point(column: int, mean: float = 0.1, worst: float = 0.2) -> Point:
    return Point(HOUR_FRAME.start + column * HOUR_FRAME.step, mean, worst, 6)


def draw(*points: Point) -> charts.Chart:
    scale = charts.scale_for([each.worst for each in points], least=0.25, label=str, limits=LIMITS)
    return charts.draw_chart(points, HOUR_FRAME, scale, lambda each: f"{each.mean}")


def band(*spans: tuple[State, timedelta]) -> tuple[charts.Block, ...]:
    frame = WEEK.until(NOW)
    at, made = frame.start, []
    for state, length in spans:
        made.append(Span(at, at + length, state))
        at += length
    return charts.draw_band(made, frame, lambda group: f"{len(group)}")


@pytest.mark.parametrize(
    ("chosen", "columns", "start", "end"),
    [
        (HOUR, 60, "18 09:35", "18 10:35"),
        (DAY, 144, "17 10:40", "18 10:40"),
        (WEEK, 168, "11 11:00", "18 11:00"),
    ],
    ids=["hour", "day", "week"],
)
def test_it_ends_with_the_bucket_of_now(chosen: Range, columns: int, start: str, end: str) -> None:
    frame = chosen.until(NOW)

    assert frame.columns == columns
    assert (f"{frame.start:%d %H:%M}", f"{frame.end:%d %H:%M}") == (start, end)


@pytest.mark.parametrize("name", [None, "", "year", "\x00", "week "], ids=["none", "empty", "year", "nul", "space"])
def test_it_shows_a_day_where_nobody_knows_the_range(name: str | None) -> None:
    assert range_of(name) is DAY


def test_it_draws_neighbours_as_one_line_and_leaves_a_gap_where_no_report_came() -> None:
    chart = draw(point(0), point(1, mean=0.2), point(5))

    assert chart.mean == "M0 90.0H1V30.0H2M5 90.0H6"
    assert len(chart.hits) == 3


def test_it_shows_a_bucket_that_stands_alone() -> None:
    assert draw(point(59)).mean == "M59 90.0H60"


def test_it_draws_nothing_of_nothing() -> None:
    chart = draw()

    assert chart.is_empty
    assert (chart.mean, chart.worst) == ("", "")


def test_it_always_shows_the_limits() -> None:
    for worst in (0.0, 0.05, 1.0):
        assert [level.name for level in draw(point(1, worst=worst)).levels if level.name] == ["degraded", "unhealthy"]


@given(st.floats(min_value=0, max_value=2**31), st.sampled_from([0.25, 10]))
def test_it_keeps_every_value_on_the_drawing_and_labels_apart(value: float, least: float) -> None:
    scale = charts.scale_for([value], least=least, label=str, limits=LIMITS if least < 1 else ())

    chart = charts.draw_chart([point(3, mean=value / 2, worst=value)], HOUR_FRAME, scale, lambda _: "")

    assert value <= scale.top <= max(value, least) * 2.5
    for path in (chart.mean, chart.worst):
        assert all(0 <= float(y) <= HEIGHT for y in re.findall(r"M\d+ ([\d.]+)H", path))
    labelled = sorted(float(level.y) for level in chart.levels if level.label)
    # Written to a tenth of a pixel.
    assert all(after - before >= charts.LABEL_HEIGHT - 0.1 for before, after in pairwise(labelled))


@pytest.mark.parametrize(
    ("chosen", "labels"),
    [
        (HOUR, ["09:40", "09:50", "10:00", "10:10", "10:20", "10:30"]),
        (DAY, ["12:00", "15:00", "18:00", "21:00", "18 Nov", "03:00", "06:00", "09:00"]),
        (WEEK, ["Thu 12", "Fri 13", "Sat 14", "Sun 15", "Mon 16", "Tue 17", "Wed 18"]),
    ],
    ids=["hour", "day", "week"],
)
def test_it_labels_whole_moments_of_utc(chosen: Range, labels: list[str]) -> None:
    ticks = charts.draw_ticks(chosen.until(NOW), chosen)

    assert [tick.label for tick in ticks] == labels
    assert [tick.is_minor for tick in ticks[:3]] == [False, True, False]


def test_it_sets_a_label_at_the_edge_flush_with_it() -> None:
    midnight = datetime(2026, 11, 18, 23, 59, tzinfo=UTC)

    ticks = charts.draw_ticks(WEEK.until(midnight), WEEK)

    assert (ticks[0].x, ticks[0].anchor) == ("0.000%", "start")
    assert ticks[1].anchor == "middle"


def test_it_tells_every_state_without_colour() -> None:
    blocks = band(*((state, timedelta(days=1)) for state in State))

    assert {block.letter for block in blocks} == {"?", "H", "D", "U"}
    assert {block.word for block in blocks} == {"Unknown", "Healthy", "Degraded", "Unhealthy"}


def test_it_shows_an_outage_of_a_minute_in_a_week_and_hides_it_behind_nothing() -> None:
    blocks = band(
        (State.HEALTHY, timedelta(days=3)),
        (State.UNHEALTHY, timedelta(minutes=1)),
        (State.DEGRADED, timedelta(minutes=1)),
        (State.HEALTHY, timedelta(days=3)),
    )

    assert [block.name for block in blocks] == ["healthy", "healthy", "unhealthy"]
    assert (blocks[-1].is_sliver, blocks[-1].width, blocks[-1].title) == (True, "0.300%", "2")


def test_it_draws_few_blocks_of_a_week_that_never_came_to_rest() -> None:
    restless = [(state, timedelta(seconds=30)) for _ in range(10_000) for state in (State.UNHEALTHY, State.DEGRADED)]

    blocks = band(*restless)

    assert len(blocks) < 400
    assert {block.name for block in blocks} == {"unhealthy"}
    assert sum(int(block.title) for block in blocks) == 20_000


def test_it_keeps_what_happens_at_the_very_end_on_the_drawing() -> None:
    frame = WEEK.until(NOW)

    block = charts.draw_block(frame.end - timedelta(seconds=5), frame.end, frame, name="override", word="", title="")

    assert (block.x, block.width) == ("99.700%", "0.300%")
