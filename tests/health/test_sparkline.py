from __future__ import annotations

import re
import uuid
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from health.models import HealthReport
from health.recent import last_hour
from health.sparkline import HEIGHT, LIMITS, SPANS, Span, describe, height_of, level_of, strokes, svg
from tests.health.board import put, report

NOTHING: Final[list[Span | None]] = [None] * SPANS


def hour(**spans: Span) -> list[Span | None]:
    """Build an hour in which only these spans have reports; `at3` is the fourth."""
    return [spans.get(f"at{index}") for index in range(SPANS)]


def test_it_draws_nothing_where_no_report_came() -> None:
    drawn = strokes(hour(at0=Span(0.01, False), at29=Span(0.02, False)))

    assert drawn.calm.count("M") == 2
    assert drawn.calm.startswith("M0 24V") and "M116 24V" in drawn.calm
    assert drawn.degraded == drawn.unhealthy == drawn.lost == ""


def test_it_tells_calm_from_degraded_unhealthy_and_lost_without_colour() -> None:
    drawn = strokes(hour(at1=Span(0.05, False), at2=Span(0.06, False), at3=Span(0.21, False), at4=Span(0.0, True)))

    assert drawn.calm.startswith("M4 ") and drawn.degraded.startswith("M8 ") and drawn.unhealthy.startswith("M12 ")
    # Where the bind was lost a hollow bar fills the height, whatever the rate.
    assert drawn.lost == "M16.5 .5h2v23h-2z"


@pytest.mark.parametrize(
    ("rate", "level"),
    [(0.0, "calm"), (0.05, "calm"), (0.0501, "degraded"), (0.2, "degraded"), (0.2001, "unhealthy"), (1.0, "unhealthy")],
    ids=["none", "5", "above-5", "20", "above-20", "all"],
)
def test_it_draws_its_lines_where_the_state_machine_does(rate: float, level: str) -> None:
    assert level_of(rate) == level


def test_it_shows_zero_percent_as_a_trace_and_all_as_the_full_height() -> None:
    heights = [float(height_of(percent / 100)) for percent in range(101)]

    assert heights[0] == HEIGHT - 1 and heights[100] == 0
    assert heights == sorted(heights, reverse=True)
    assert f"M0 {height_of(0.05)}H120M0 {height_of(0.2)}H120" == LIMITS


def test_it_says_what_it_shows() -> None:
    spans: list[Span | None] = [Span(0.01, False)] * SPANS
    spans[3], spans[7], spans[8] = None, Span(0.234, False), Span(0.0, True)

    text = describe(spans)

    assert text == (
        "Error rate of the last hour: at worst 23.4 %, lately 1.0 %, bind lost in 2 minutes, no reports in 2 minutes"
    )
    assert f'aria-label="{text}"' in svg(spans)


def test_it_does_not_call_a_span_silent_that_has_only_begun() -> None:
    assert "no reports" not in describe([*[Span(0.01, False)] * (SPANS - 1), None])


def test_it_says_so_when_no_report_came_at_all() -> None:
    assert "no reports" in svg(NOTHING) and "<svg" not in svg(NOTHING)


@pytest.mark.django_db
def test_it_reads_the_worst_of_every_two_minutes_of_those_it_is_asked_for() -> None:
    asked, other = put("Asked"), put("Other")
    # Today at noon, so that the hour lies in a partition that exists whenever this runs.
    now = timezone.now().replace(hour=12, minute=1, second=30, microsecond=0)
    begin = now.replace(hour=11, minute=2, second=0)
    HealthReport.objects.bulk_create(
        [
            report(asked, begin - timedelta(seconds=1), error_rate=0.9),
            report(asked, begin, error_rate=0.1),
            report(asked, begin + timedelta(seconds=119), error_rate=0.3),
            report(asked, begin + timedelta(seconds=120), error_rate=0.0, bind_state="UNBOUND"),
            report(asked, now, error_rate=0.02, bind_state="FAILBACK"),
            report(asked, begin + timedelta(hours=1), error_rate=0.9),
            report(other, now, error_rate=0.5),
        ]
    )

    hours = last_hour([asked.pk, uuid.uuid4()], now=now)

    assert hours == {asked.pk: hour(at0=Span(0.3, False), at1=Span(0.0, True), at29=Span(0.02, False))}


@pytest.mark.django_db
def test_it_reads_no_partition_but_those_of_the_hour() -> None:
    today = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)

    assert partitions_read(today + timedelta(hours=12)) == 1
    assert partitions_read(today + timedelta(minutes=20)) == 2


def partitions_read(now: datetime) -> int:
    with CaptureQueriesContext(connection) as captured:
        last_hour([uuid.uuid4() for _ in range(50)], now=now.astimezone(UTC))
    assert len(captured) == 1
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN {captured[0]['sql']}")
        plan = "\n".join(line for (line,) in cursor.fetchall())
    return len(set(re.findall(r" on (operator_health_log_\w+) ", plan)))
