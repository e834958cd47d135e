from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from django.db import DataError, connection

from operators import prepared

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)


@pytest.mark.parametrize("hours", [-23, -16, -15, 0, 5.5, 16, 23])
def test_it_takes_moments_of_any_offset(hours: float) -> None:
    there = NOON.astimezone(timezone(timedelta(hours=hours)))
    with connection.cursor() as cursor:
        cursor.execute("SELECT %s, %s::timestamptz", [there, there])
        assert cursor.fetchone() == (NOON, NOON)
    assert prepared.fetch("SELECT %s::timestamptz", [there]) == [(NOON,)]


def test_it_takes_moments_without_one() -> None:
    naive = datetime(2026, 11, 27, 12)  # noqa: DTZ001
    with connection.cursor() as cursor:
        cursor.execute("SELECT %s", [naive])
        assert cursor.fetchone() == (naive,)


@pytest.mark.parametrize("year, hours", [(9999, -1), (1, 1)])
def test_it_writes_no_moment_that_nobody_could_read_again(year: int, hours: int) -> None:
    first = datetime(year, 1, 1, tzinfo=timezone(timedelta(hours=hours)))
    edge = first if hours > 0 else first.replace(month=12, day=31, hour=23, minute=59)
    with connection.cursor() as cursor, pytest.raises(DataError, match="before the year 1 or after 9999"):
        cursor.execute("SELECT %s", [edge])
