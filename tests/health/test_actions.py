"""Maintenance and override: what others see, what is kept of it, and what is refused."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from health import actions
from health.errors import NoOpenWindow
from health.ingest import Received, take_in
from health.metrics import transitions as transitions_total
from health.models import HealthStatus, HealthTransition, HealthWindow
from health.moves import Moves, open_windows
from health.reducer import Move, Reason, State
from health.reports import BindState, Report
from operators.actions import delete_operator
from operators.actors import Actor, Source
from operators.errors import InvalidPayload, OperatorNotFound
from operators.models import AuditEntry, HealthState, Operator, OutboxEvent
from tests.factories import ALICE, make_operator

pytestmark = pytest.mark.django_db

BOB = Actor("bob", Source.API)


def soon(**ahead: float) -> datetime:
    return timezone.now() + timedelta(**(ahead or {"hours": 2}))


def measure(operator: Operator, state: State, reason: Reason = Reason.BOUND) -> None:
    """Move the measured state as ingest does."""
    now = timezone.now()
    with transaction.atomic():
        status = HealthStatus.objects.select_for_update(of=("self",)).get(pk=operator.pk)
        move = Move(State(status.state), state, reason, now)
        moves = Moves(now)
        status.state, status.since, status.reason, status.observed_at, status.received_at = state, now, reason, now, now
        moves.measured(status, move, window=open_windows([operator.pk]).get(operator.pk))
        status.save()
        moves.write()


def report(operator: Operator, bind_state: BindState, *, ahead: float = 0) -> None:
    """Take one report in as ingest does."""
    now = timezone.now() + timedelta(seconds=ahead)
    body = Report(uuid4(), operator.pk, "smpp-connector-1", now, bind_state, 0.0, None, 40)
    take_in([Received(body, now)], now=now)


def seen(operator: Operator) -> tuple[str, str, int]:
    """What others see: state and reason, and how often it has changed."""
    status = HealthStatus.objects.get(pk=operator.pk)
    assert Operator.objects.get(pk=operator.pk).health_state == status.effective_state
    return status.effective_state, status.effective_reason, status.sequence


def told(operator: Operator) -> list[tuple[Any, ...]]:
    """The operator.health events, oldest first."""
    events = OutboxEvent.objects.filter(operator_id=operator.pk, subject="operator.health").order_by("id")
    keys = ("version", "previousState", "newState", "reason")
    return [tuple(event.payload[key] for key in keys) for event in events]


def last_entry(operator: Operator) -> AuditEntry:
    entry = AuditEntry.objects.filter(operator=operator).first()
    assert entry is not None
    return entry


def maintain(operator: Operator, *, actor: Actor = ALICE, until: datetime | None = None) -> HealthWindow:
    return actions.start_maintenance(
        actor=actor, operator_id=operator.pk, until=until or soon(), reason="Carrier moves house"
    )


def override(operator: Operator, state: HealthState, *, until: datetime | None = None) -> HealthWindow:
    return actions.override_health(
        actor=ALICE, operator_id=operator.pk, state=state, until=until or soon(), reason="Known false alarm"
    )


def test_it_shows_a_maintenance_as_unhealthy_and_its_end_as_what_was_measured() -> None:
    operator = make_operator()
    measure(operator, State.HEALTHY)
    until = soon()

    window = actions.start_maintenance(
        actor=BOB, operator_id=operator.pk, until=until, reason="  Carrier moves house\n"
    )

    assert (window.opened_by, window.ends_at, window.ended_at) == ("bob", until, None)
    assert window.reason == "Carrier moves house"
    assert seen(operator) == ("UNHEALTHY", "MAINTENANCE", 2)
    status = HealthStatus.objects.get(pk=operator.pk)
    assert (status.state, status.effective_since) == ("HEALTHY", window.starts_at)

    closed = actions.end_maintenance(actor=ALICE, operator_id=operator.pk, reason="done early")

    assert (closed.pk, closed.closed_by) == (window.pk, "alice")
    assert closed.ended_at is not None
    assert closed.ended_at < until
    assert seen(operator) == ("HEALTHY", "MAINTENANCE", 3)
    assert told(operator) == [
        (1, "UNKNOWN", "HEALTHY", "BOUND"),
        (2, "HEALTHY", "UNHEALTHY", "MAINTENANCE"),
        (3, "UNHEALTHY", "HEALTHY", "MAINTENANCE"),
    ]
    assert [each.reason for each in HealthTransition.objects.all()] == ["MAINTENANCE", "MAINTENANCE", "BOUND"]


def test_it_leaves_the_operators_version_and_writes_the_history() -> None:
    operator = make_operator()
    maintain(operator, until=soon())
    entry = last_entry(operator)
    assert (entry.action, entry.actor, entry.source) == ("start_maintenance", "alice", "console")
    assert (entry.reason, entry.version) == ("Carrier moves house", 1)
    [(before, after)] = entry.changes.values()
    assert before is None
    assert after.startswith("until 20")
    assert after.endswith("Z: Carrier moves house")

    actions.end_maintenance(actor=BOB, operator_id=operator.pk)
    entry = last_entry(operator)
    assert (entry.action, entry.actor, entry.reason) == ("end_maintenance", "bob", "")
    assert entry.changes == {"maintenance": [after, None]}

    override(operator, HealthState.DEGRADED)
    [(before, after)] = last_entry(operator).changes.values()
    assert (before, after[:14]) == (None, "DEGRADED until")
    actions.end_override(actor=BOB, operator_id=operator.pk, reason="over")
    assert last_entry(operator).changes == {"healthOverride": [after, None]}
    assert Operator.objects.get(pk=operator.pk).version == 1


def test_it_overrides_what_the_reports_say() -> None:
    operator = make_operator()
    measure(operator, State.UNHEALTHY, Reason.BIND_LOST)
    override(operator, HealthState.HEALTHY)
    assert seen(operator) == ("HEALTHY", "OVERRIDE", 2)
    actions.end_override(actor=ALICE, operator_id=operator.pk)
    assert seen(operator) == ("UNHEALTHY", "OVERRIDE", 3)


def test_it_replaces_a_window_that_is_open() -> None:
    operator = make_operator()
    first = maintain(operator)
    later = soon(hours=5)
    second = maintain(operator, actor=BOB, until=later)

    first.refresh_from_db()
    assert (first.ended_at, first.closed_by) == (second.starts_at, "bob")
    assert list(HealthWindow.objects.open()) == [second]
    assert second.ends_at == later
    assert seen(operator) == ("UNHEALTHY", "MAINTENANCE", 1), "others see no difference, and no event tells of one"
    before, after = last_entry(operator).changes["maintenance"]
    assert before.startswith("until")
    assert after.startswith("until")
    assert before != after

    override(operator, HealthState.HEALTHY)
    actions.end_maintenance(actor=ALICE, operator_id=operator.pk)
    override(operator, HealthState.DEGRADED)
    assert seen(operator) == ("DEGRADED", "OVERRIDE", 3)


def test_it_lets_a_maintenance_beat_an_override() -> None:
    operator = make_operator()
    measure(operator, State.DEGRADED)
    override(operator, HealthState.HEALTHY)
    maintain(operator)
    assert seen(operator)[:2] == ("UNHEALTHY", "MAINTENANCE")
    override(operator, HealthState.DEGRADED)
    assert seen(operator) == ("UNHEALTHY", "MAINTENANCE", 3)

    actions.end_maintenance(actor=ALICE, operator_id=operator.pk)
    assert seen(operator) == ("DEGRADED", "OVERRIDE", 4)
    assert told(operator)[-1] == (4, "UNHEALTHY", "DEGRADED", "OVERRIDE")
    actions.end_override(actor=ALICE, operator_id=operator.pk)
    assert seen(operator) == ("DEGRADED", "BOUND", 4), "what the reports say, and nobody sees a difference"


def test_it_hides_what_is_measured_meanwhile_and_shows_it_at_the_end() -> None:
    operator = make_operator()
    measure(operator, State.HEALTHY)
    maintain(operator)
    measure(operator, State.UNHEALTHY, Reason.BIND_LOST)
    measure(operator, State.DEGRADED)
    assert seen(operator) == ("UNHEALTHY", "MAINTENANCE", 2)
    assert [each.is_hidden for each in HealthTransition.objects.all()] == [True, True, False, False]
    actions.end_maintenance(actor=ALICE, operator_id=operator.pk)
    assert seen(operator) == ("DEGRADED", "MAINTENANCE", 3)


@pytest.mark.django_db(transaction=True)  # ingest's staging tables live as long as a transaction
def test_it_lets_ingest_go_on_underneath() -> None:
    operator = make_operator()
    report(operator, BindState.BOUND)
    maintain(operator)
    report(operator, BindState.UNBOUND, ahead=10)
    assert seen(operator) == ("UNHEALTHY", "MAINTENANCE", 2)
    report(operator, BindState.FAILBACK, ahead=20)
    override(operator, HealthState.HEALTHY)
    assert seen(operator) == ("UNHEALTHY", "MAINTENANCE", 2)
    assert HealthStatus.objects.get(pk=operator.pk).state == "DEGRADED"

    actions.end_maintenance(actor=ALICE, operator_id=operator.pk)
    assert seen(operator) == ("HEALTHY", "OVERRIDE", 3)
    report(operator, BindState.UNBOUND, ahead=30)
    assert seen(operator) == ("HEALTHY", "OVERRIDE", 3)
    actions.end_override(actor=ALICE, operator_id=operator.pk)
    assert seen(operator) == ("UNHEALTHY", "OVERRIDE", 4)
    assert [event[0] for event in told(operator)] == [1, 2, 3, 4]


def test_it_decides_also_before_any_status_was_made() -> None:
    operator = make_operator()
    HealthStatus.objects.all().delete()
    maintain(operator)
    assert seen(operator) == ("UNHEALTHY", "MAINTENANCE", 1)


def test_it_says_nothing_new_where_the_state_is_the_same() -> None:
    operator = make_operator()
    measure(operator, State.UNHEALTHY, Reason.BIND_LOST)
    maintain(operator)
    assert seen(operator) == ("UNHEALTHY", "MAINTENANCE", 1)
    actions.end_maintenance(actor=ALICE, operator_id=operator.pk)
    assert seen(operator) == ("UNHEALTHY", "BIND_LOST", 1)
    assert len(told(operator)) == 1


def test_it_ends_at_its_time_what_nobody_has_closed_yet() -> None:
    operator = make_operator()
    window = override(operator, HealthState.HEALTHY)
    expired = timezone.now() - timedelta(minutes=1)
    HealthWindow.objects.update(starts_at=expired - timedelta(hours=1), ends_at=expired)
    maintain(operator)
    window.refresh_from_db()
    assert (window.ended_at, window.closed_by) == (expired, "")
    actions.end_maintenance(actor=ALICE, operator_id=operator.pk)
    assert seen(operator)[0] == "UNKNOWN", "and not what the expired override said"

    window = maintain(operator)
    HealthWindow.objects.filter(pk=window.pk).update(starts_at=expired - timedelta(hours=1), ends_at=expired)
    closed = actions.end_maintenance(actor=ALICE, operator_id=operator.pk)
    assert (closed.ended_at, closed.closed_by) == (expired, "")
    assert seen(operator)[0] == "UNKNOWN"


@pytest.mark.parametrize(
    ("until", "message"),
    [
        pytest.param(lambda: timezone.now(), "This moment has passed.", id="now"),
        pytest.param(lambda: soon(days=-1), "This moment has passed.", id="past"),
        pytest.param(lambda: soon(days=30, minutes=1), "At most 30 days ahead.", id="too far"),
        pytest.param(lambda: soon().replace(tzinfo=None), "This moment needs its offset from UTC.", id="naive"),
    ],
)
@pytest.mark.parametrize(
    ("reason", "complaint"),
    [
        pytest.param(" \n", "Say why.", id="blank"),
        pytest.param("x" * 1001, "At most 1000 characters.", id="long"),
        pytest.param("a\x00b", "NUL is not text.", id="NUL"),
    ],
)
def test_it_refuses_wrong_values_all_at_once(
    until: Callable[[], datetime], message: str, reason: str, complaint: str
) -> None:
    with pytest.raises(InvalidPayload) as caught:
        actions.start_maintenance(actor=ALICE, operator_id=uuid4(), until=until(), reason=reason)
    expected = {"until": message, "reason": complaint}
    assert {problem.field: problem.message for problem in caught.value.problems} == expected

    with pytest.raises(InvalidPayload) as caught:
        actions.override_health(
            actor=ALICE, operator_id=uuid4(), state=HealthState.UNKNOWN, until=until(), reason=reason
        )
    expected = {"state": "This field is one of HEALTHY, DEGRADED, UNHEALTHY.", **expected}
    assert {problem.field: problem.message for problem in caught.value.problems} == expected


def test_it_takes_the_longest_reason_and_the_farthest_end() -> None:
    operator = make_operator()
    window = actions.start_maintenance(actor=ALICE, operator_id=operator.pk, until=soon(days=30), reason="x" * 1000)
    assert len(window.reason) == 1000
    with pytest.raises(InvalidPayload, match="At most 1000"):
        actions.end_maintenance(actor=ALICE, operator_id=operator.pk, reason="x" * 1001)


def test_it_refuses_operators_that_are_not_there_and_windows_that_are_not_open() -> None:
    operator = make_operator()
    with pytest.raises(NoOpenWindow, match="no maintenance now"):
        actions.end_maintenance(actor=ALICE, operator_id=operator.pk)
    maintain(operator)
    with pytest.raises(NoOpenWindow, match="no override now"):
        actions.end_override(actor=ALICE, operator_id=operator.pk)
    delete_operator(actor=ALICE, operator_id=operator.pk)
    for operator_id in (operator.pk, uuid4()):
        with pytest.raises(OperatorNotFound):
            actions.start_maintenance(actor=ALICE, operator_id=operator_id, until=soon(), reason="x")
        with pytest.raises(OperatorNotFound):
            actions.override_health(
                actor=ALICE, operator_id=operator_id, state=HealthState.HEALTHY, until=soon(), reason="x"
            )
        with pytest.raises(OperatorNotFound):
            actions.end_maintenance(actor=ALICE, operator_id=operator_id)
        with pytest.raises(OperatorNotFound):
            actions.end_override(actor=ALICE, operator_id=operator_id)
    assert HealthWindow.objects.count() == 1


def test_it_locks_the_status_before_the_operator() -> None:
    operator = make_operator()
    with CaptureQueriesContext(
        connection,
    ) as queries:
        maintain(operator)
    locks = [query["sql"].strip() for query in queries if " UPDATE OF " in query["sql"]]
    assert [sql.rpartition(" OF ")[2].strip('"') for sql in locks] == ["status", "operators_operator"]


def test_it_counts_and_logs_what_it_did(caplog: pytest.LogCaptureFixture) -> None:
    operator = make_operator()
    child = transitions_total.labels("UNKNOWN", "UNHEALTHY")
    before = child._value.get()
    with caplog.at_level(logging.INFO, logger="health.actions"):
        maintain(operator)
    assert child._value.get() == before + 1
    [line] = [record for record in caplog.records if record.name == "health.actions"]
    assert (line.getMessage(), line.__dict__["operatorId"]) == ("operator start maintenance done", str(operator.pk))
    assert (line.__dict__["action"], line.__dict__["adminId"]) == ("start_maintenance", "alice")


@pytest.mark.django_db(transaction=True)
def test_it_lets_one_of_two_follow_the_other() -> None:
    """Two people start a maintenance at the same moment: both succeed, one after the other, and one stays open."""
    operator = make_operator()
    together = threading.Barrier(8)
    outcomes: list[str] = []

    def begin(number: int) -> None:
        together.wait(10)
        try:
            if number % 2:
                maintain(operator, actor=Actor(f"user{number}", Source.CONSOLE))
            else:
                override(operator, HealthState.HEALTHY)
            outcomes.append("ok")
        except Exception as error:  # whatever it is, the test shows it
            outcomes.append(repr(error))
        finally:
            connection.close()

    threads = [threading.Thread(target=begin, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert outcomes == ["ok"] * 8
    assert sorted(HealthWindow.objects.open().values_list("kind", flat=True)) == ["MAINTENANCE", "OVERRIDE"]
    assert HealthWindow.objects.count() == 8
    assert seen(operator)[0] == "UNHEALTHY"
    numbers = [event[0] for event in told(operator)]
    assert numbers == list(range(1, len(numbers) + 1))
    spans = HealthWindow.objects.filter(kind="MAINTENANCE").order_by("starts_at")
    for earlier, following in pairwise(spans):
        assert earlier.ended_at == following.starts_at
