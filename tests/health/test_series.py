from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest
from django.db import connection
from django.utils import timezone
from pytest_django.fixtures import DjangoAssertNumQueries

from health.models import HealthReport
from health.ranges import DAY, HOUR, floor
from health.series import read_series, series_query
from operators.models import Operator
from tests.factories import make_operator
from tests.health.cast import make_partitions, make_report

pytestmark = pytest.mark.django_db

SECOND: Final = timedelta(seconds=1)


@pytest.fixture
def operator() -> Operator:
    return make_operator()


def store(*reports: HealthReport) -> None:
    HealthReport.objects.bulk_create(reports)


def test_it_gives_average_and_worst_of_every_bucket(
    operator: Operator, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    now = floor(timezone.now(), HOUR.step) + 59 * SECOND
    minute = now - 59 * SECOND
    store(
        make_report(operator, minute, error_rate=0.1, latency_ms=100),
        make_report(operator, now, error_rate=0.3, latency_ms=None),
        make_report(operator, minute - 20 * SECOND, error_rate=1.0, latency_ms=None, bind_state="UNBOUND"),
        make_report(operator, minute - 5 * HOUR.step, error_rate=0.0, latency_ms=30),
        make_report(make_operator(), minute, error_rate=0.9, latency_ms=900),
    )

    with django_assert_num_queries(1):
        first, unbound, newest = read_series(operator.pk, HOUR.until(now))

    assert (first.at, first.reports, first.mean_latency) == (minute - 5 * HOUR.step, 1, 30)
    assert (unbound.at, unbound.mean_error_rate, unbound.mean_latency) == (minute - HOUR.step, 1.0, None)
    assert (newest.at, newest.reports, newest.worst_error_rate, newest.worst_latency) == (minute, 2, 0.3, 100)
    assert newest.mean_error_rate == pytest.approx(0.2)


def test_it_takes_what_lies_in_its_frame_and_nothing_beside_it(operator: Operator) -> None:
    frame = DAY.until(timezone.now())
    store(
        make_report(operator, frame.start),
        make_report(operator, frame.start - SECOND),
        make_report(operator, frame.end - SECOND),
        make_report(operator, frame.end),
    )

    assert [bucket.at for bucket in read_series(operator.pk, frame)] == [frame.start, frame.end - frame.step]


def test_it_reads_its_own_partitions_alone_and_by_the_index() -> None:
    now = timezone.now()
    frame = DAY.until(now)
    operator = make_operator()
    make_partitions(now - timedelta(days=4), now)
    store(*(make_report(operator, now - number * 10 * SECOND) for number in range(100)))

    with connection.cursor() as cursor:
        # So few rows are read faster as a whole; a real table is not.
        cursor.execute("SET LOCAL enable_seqscan = off")
        plan = series_query(operator.pk, frame).explain()

    # pg_partman 4 writes the day with underscores, 5 without.
    read = {day.replace("_", "") for day in re.findall(r" on operator_health_log_p([\d_]+)", plan)}
    assert read == {f"{frame.start:%Y%m%d}", f"{frame.end - SECOND:%Y%m%d}"}
    assert "Index Only Scan" in plan
    assert "Seq Scan" not in plan


def test_it_knows_the_origin_of_its_buckets() -> None:
    assert floor(datetime(2026, 11, 18, 10, 34, 56, tzinfo=UTC), DAY.step) == datetime(2026, 11, 18, 10, 30, tzinfo=UTC)
