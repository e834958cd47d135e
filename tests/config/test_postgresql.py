from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from django.db import connection

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


def test_it_takes_moments_without_one_and_the_last_of_all() -> None:
    naive, last = datetime(2026, 11, 27, 12), datetime(9999, 12, 31, 23, 59, 59, tzinfo=timezone(-timedelta(hours=1)))  # noqa: DTZ001
    with connection.cursor() as cursor:
        cursor.execute("SELECT %s, %s > %s", [naive, last, NOON])
        assert cursor.fetchone() == (naive, True)
