"""What ingest remembers of the statuses from batch to batch, and when it must not trust it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Collection
from datetime import datetime, timedelta
from threading import Thread
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from health.actions import end_override, override_health
from health.ingest import Outcome, Received, take_in
from health.models import HealthReport, HealthStatus, HealthTransition
from health.reports import BindState, Report, parse
from health.statuses import Statuses
from operators.actions import delete_operator, restore_operator
from operators.models import HealthState, Operator
from tests.factories import ALICE, make_operator
from tests.reports import body

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def operator() -> Operator:
    return make_operator()


@pytest.fixture
def begin() -> datetime:
    return timezone.now().replace(microsecond=0) - timedelta(minutes=5)


def received(operator: Operator, at: datetime, **overrides: Any) -> Received:
    values = {"bind_state": BindState.BOUND, "error_rate": 0.0, "bind_error": None, "latency_ms": 20, **overrides}
    report = Report(
        event_id=uuid.uuid4(), operator_id=operator.pk, connector_id=r"back\slash", observed_at=at, **values
    )
    return Received(report, timezone.now())


def take(statuses: Statuses, *batch: Received) -> Outcome:
    return take_in(batch, now=timezone.now(), statuses=statuses)


def test_it_reads_no_status_that_nobody_else_has_written(operator: Operator, begin: datetime) -> None:
    statuses = Statuses()
    take(statuses, received(operator, begin))

    with CaptureQueriesContext(connection) as queries:
        take(statuses, received(operator, begin + timedelta(seconds=10), error_rate=0.04))

    assert not [query for query in queries if "FOR NO KEY UPDATE" in query["sql"]]
    assert HealthStatus.objects.get().error_rate == 0.04
    assert HealthReport.objects.earliest("observed_at").connector_id == r"back\slash"


def test_it_sees_a_decision_of_staff_between_two_batches(operator: Operator, begin: datetime) -> None:
    statuses = Statuses()
    take(statuses, received(operator, begin))
    override_health(
        actor=ALICE,
        operator_id=operator.pk,
        state=HealthState.HEALTHY,
        until=timezone.now() + timedelta(hours=1),
        reason="The carrier's own figures are fine.",
    )

    take(statuses, received(operator, begin + timedelta(seconds=10), bind_state=BindState.UNBOUND))

    status = HealthStatus.objects.get()
    assert (status.state, status.effective_state) == ("UNHEALTHY", "HEALTHY")
    assert HealthTransition.objects.get(to_state="UNHEALTHY").is_hidden

    end_override(actor=ALICE, operator_id=operator.pk)
    [live] = take(statuses, received(operator, begin + timedelta(seconds=20), bind_state=BindState.UNBOUND)).live
    assert live.state == "UNHEALTHY"


@pytest.mark.parametrize("seconds", [10, -10], ids=["newer", "late"])
def test_it_refuses_reports_of_an_operator_that_was_deleted_between_two_batches(
    seconds: int, operator: Operator, begin: datetime
) -> None:
    other, statuses = make_operator(), Statuses()
    take(statuses, received(operator, begin), received(other, begin))
    delete_operator(actor=ALICE, operator_id=operator.pk)
    at = begin + timedelta(seconds=seconds)

    outcome = take(statuses, received(operator, at), received(other, begin + timedelta(seconds=10)))

    assert [each.report.operator_id for each in outcome.unknown] == [operator.pk]
    assert outcome.accepted == 1
    assert HealthReport.objects.filter(operator_id=operator.pk).count() == 1

    restore_operator(actor=ALICE, operator_id=operator.pk)
    assert take(statuses, received(operator, begin + timedelta(seconds=20))).accepted == 1


def test_it_goes_on_when_one_operator_after_the_other_is_deleted_under_it(
    begin: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A deletion locks the operator, not its status, so that it may come in the middle of every try."""
    gone, left = [make_operator() for _ in range(3)], make_operator()
    waiting = list(gone)
    confirm = Statuses.confirm

    def delete(operator: Operator) -> None:
        delete_operator(actor=ALICE, operator_id=operator.pk)
        connection.close()

    def delete_first(self: Statuses, operator_ids: Collection[uuid.UUID]) -> None:
        if waiting:
            staff = Thread(target=delete, args=[waiting.pop()])
            staff.start()
            staff.join()
        confirm(self, operator_ids)

    monkeypatch.setattr(Statuses, "confirm", delete_first)

    outcome = take(Statuses(), *(received(each, begin) for each in (*gone, left)))

    assert {each.report.operator_id for each in outcome.unknown} == {each.pk for each in gone}
    assert HealthReport.objects.get().operator_id == left.pk


def test_it_forgets_what_a_failed_transaction_has_not_written(operator: Operator, begin: datetime) -> None:
    statuses = Statuses()
    take(statuses, received(operator, begin))
    lost = received(operator, begin + timedelta(seconds=10), bind_state=BindState.UNBOUND)
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE operator_health_transition ADD CONSTRAINT trap CHECK (to_state <> 'UNHEALTHY')")
    try:
        with pytest.raises(Exception, match="trap"):
            take(statuses, lost)
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE operator_health_transition DROP CONSTRAINT trap")
    assert HealthReport.objects.count() == 1

    take(statuses, lost)

    assert HealthStatus.objects.get().state == "UNHEALTHY"
    assert HealthReport.objects.count() == 2


def test_it_counts_what_becomes_of_each_report(operator: Operator, begin: datetime) -> None:
    first, second = received(operator, begin), received(operator, begin + timedelta(seconds=10))
    late = received(operator, begin + timedelta(seconds=5))

    outcome = take(Statuses(), first, second, first, late)

    assert (outcome.accepted, outcome.duplicates, outcome.late) == (2, 1, 1)
    assert HealthReport.objects.count() == 3


@pytest.mark.parametrize("hours", [-23, -16, 16, 23])
def test_it_takes_every_offset_that_a_connector_may_write(operator: Operator, begin: datetime, hours: int) -> None:
    """PostgreSQL's own reader ends before 16 hours; such a report would be buried though nothing is wrong with it."""
    there = begin.astimezone(timezone.get_fixed_timezone(timedelta(hours=hours, minutes=59 if hours > 0 else -59)))
    report = parse(json.dumps(body(operator, at=there)).encode(), now=timezone.now())

    outcome = take(Statuses(), Received(report, timezone.now()), received(operator, begin + timedelta(seconds=10)))

    assert (outcome.accepted, outcome.duplicates) == (2, 0)
    assert HealthReport.objects.earliest("observed_at").observed_at == begin
