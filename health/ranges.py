"""The spans of time that the health page can show, and how moments lie on their axis."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Frame:
    """One stretch of time cut into buckets of equal length, all of which begin at whole multiples of it in UTC."""

    start: datetime
    end: datetime
    step: timedelta

    @property
    def columns(self) -> int:
        return (self.end - self.start) // self.step

    def column(self, at: datetime) -> int:
        return (at - self.start) // self.step

    def share(self, at: datetime) -> float:
        """Tell how far along the axis a moment lies, 0 to 1; what lies outside is moved to the nearer end."""
        return min(max((at - self.start) / (self.end - self.start), 0.0), 1.0)


@dataclass(frozen=True, slots=True)
class Range:
    """One choice: how long, in which buckets, with a label on the axis every `tick`."""

    name: str
    length: timedelta
    step: timedelta
    tick: timedelta

    def until(self, now: datetime) -> Frame:
        """End with the bucket that `now` lies in, so that the newest reports are always shown."""
        end = floor(now, self.step) + self.step
        return Frame(start=end - self.length, end=end, step=self.step)


def floor(at: datetime, step: timedelta) -> datetime:
    return EPOCH + (at - EPOCH) // step * step


HOUR: Final = Range("hour", timedelta(hours=1), timedelta(minutes=1), timedelta(minutes=10))
DAY: Final = Range("day", timedelta(days=1), timedelta(minutes=10), timedelta(hours=3))
WEEK: Final = Range("week", timedelta(days=7), timedelta(hours=1), timedelta(days=1))
RANGES: Final = {each.name: each for each in (HOUR, DAY, WEEK)}


def range_of(name: str | None) -> Range:
    """Find a range by its name in an address; a day where nobody knows the name."""
    return RANGES.get(name or "", DAY)
