"""What is read of the past of one operator's health."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest
from django.utils import timezone

from health import clock
from health.history import read_spans
from health.ingest import Received, take_in
from health.models import HealthStatus, HealthTransition
from health.reports import BindState, Report
from tests.factories import make_operator

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("seconds", [30, 600], ids=["in_the_silence", "long_after"])
def test_it_begins_with_the_state_that_a_delayed_report_has_won_back(seconds: int) -> None:
    """The clock's move is dated 60 s after the last report, and so after that of a report which came only then."""
    operator, now = make_operator(), timezone.now()
    begin = now - timedelta(days=1)
    tell = (
        Report(uuid4(), operator.pk, "c", begin + timedelta(seconds=at), BindState.BOUND, 0.0, None, 9)
        for at in (0, 10)
    )
    take_in([Received(next(tell), begin)], now=now)
    clock.expire_silent(clock=now, now=now)
    take_in([Received(next(tell), now)], now=now)
    assert [move.reason for move in HealthTransition.objects.order_by("at")] == ["BOUND", "BOUND", "STALE"]

    [span] = read_spans(operator.pk, start=begin + timedelta(seconds=seconds), end=now)

    assert span.state == HealthStatus.objects.get().state == "HEALTHY"
