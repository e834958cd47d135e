"""Moments as callers write them: RFC 3339, always with an offset."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any, Final

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from operators.api.fields import MESSAGES

RFC_3339: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})", re.IGNORECASE
)
WANTED: Final = "A moment with its offset, such as 2026-03-02T09:15:00Z (RFC 3339)."


def read_moment(text: str) -> datetime:
    """Read one moment as UTC; raises ValueError. What is finer than a microsecond is cut off.

    PostgreSQL takes no offset of 16 hours and more, which RFC 3339 allows up to 23:59.
    """
    try:
        moment = datetime.fromisoformat(text.upper())
    except ValueError:
        raise ValueError(WANTED) from None
    # A day more or less must still be a date.
    if not RFC_3339.fullmatch(text) or not 1970 <= moment.year < 9999:
        raise ValueError(WANTED)
    return moment.astimezone(UTC)


@extend_schema_field(OpenApiTypes.DATETIME)
class GivenMomentField(serializers.Field[datetime, Any, str, Any]):
    default_error_messages = {**MESSAGES, "invalid": WANTED}

    def to_internal_value(self, data: object) -> datetime:
        if not isinstance(data, str):
            self.fail("invalid")
        try:
            return read_moment(data)
        except ValueError:
            self.fail("invalid")
