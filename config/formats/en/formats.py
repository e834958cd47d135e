"""Dates and times as the console shows them: the 24-hour clock, to the second, for they are compared with logs."""

from __future__ import annotations

from typing import Final

DATE_FORMAT: Final = "j M Y"
TIME_FORMAT: Final = "H:i:s"
DATETIME_FORMAT: Final = "j M Y, H:i:s"
SHORT_DATETIME_FORMAT: Final = DATETIME_FORMAT
