"""Moments that people and programs give, in UTC."""

from __future__ import annotations

from datetime import UTC, datetime


def in_utc(moment: datetime) -> datetime:
    """Bring an aware moment to UTC; raises ValueError where that is before year 1 or after 9999.

    PostgreSQL would store those too, and nobody here could read the row again.
    """
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("In UTC this moment is before the year 1 or after 9999.") from None
