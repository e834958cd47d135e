"""The span of time that a caller asks for, by the parameters `from` and `to`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.utils import timezone
from rest_framework.request import Request

from health.reports import MAX_AHEAD
from operators.api.filters import PAGING, refuse_unknown
from operators.api.moments import read_moment
from operators.errors import FieldProblem, InvalidPayload

USUAL: Final = timedelta(hours=24)
# Each day is a partition, and an operator has 8,640 reports in it.
LONGEST: Final = timedelta(days=31)


@dataclass(frozen=True)
class Asked:
    """What the caller said; either end may be missing."""

    start: datetime | None
    end: datetime | None


def asked(request: Request) -> Asked:
    """Read `from` and `to`, the latter not included; refuses what is no moment, and every unknown parameter."""
    refuse_unknown(request, PAGING | {"from", "to"})
    problems: list[FieldProblem] = []
    found = Asked(_moment(request, "from", problems), _moment(request, "to", problems))
    if found.start and found.end and found.start >= found.end:
        problems.append(FieldProblem("to", "This moment is not after from."))
    if problems:
        raise InvalidPayload(problems)
    return found


def bounded(request: Request) -> tuple[datetime, datetime]:
    """Read a span that has both ends and at most 31 days; the last 24 hours unless the caller says otherwise."""
    span, now = asked(request), timezone.now()
    # Without an end also what connectors with a fast clock have reported.
    end = span.end or now + MAX_AHEAD
    start = span.start or (span.end or now) - USUAL
    if start >= end:
        raise InvalidPayload([FieldProblem("from", "This moment is not before to, which is now if not given.")])
    if (span.end or now) - start > LONGEST:
        raise InvalidPayload([FieldProblem("from", f"At most {LONGEST.days} days before to.")])
    return start, end


def _moment(request: Request, name: str, problems: list[FieldProblem]) -> datetime | None:
    text = request.query_params.get(name, "")
    if not text:
        return None
    try:
        return read_moment(text)
    except ValueError as error:
        problems.append(FieldProblem(name, f"{error} Write + as %2B."))
        return None
