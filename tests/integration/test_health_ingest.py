"""From a connector's report to the state that others see: stream, database, live view, events, on real servers."""

from __future__ import annotations

import json
import random
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.utils import timezone
from prometheus_client import REGISTRY

from health import actions, clock
from health.models import HealthReport, HealthStatus, HealthTransition, HealthWindow
from health.moves import open_windows
from health.streams import DEAD_LETTERS
from operators.actions import delete_operator, restore_operator
from operators.models import HealthState, Operator, OutboxEvent
from tests.factories import ALICE, make_operator
from tests.reports import body, empty_streams, expected_moves, live_view, publish, report, stored_moves
from tests.streams import read_stream

pytestmark = pytest.mark.django_db(transaction=True)

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "deploy" / "dev" / "sample" / "health_reports.ndjson"
EXPECTED = ROOT / "tests" / "data" / "health_expected.json"


@pytest.fixture(autouse=True)
def _empty_streams() -> None:
    empty_streams()


@pytest.fixture
def now() -> datetime:
    return timezone.now().replace(microsecond=0)


def ingest(**options: Any) -> None:
    call_command("ingest_health", once=True, **options)


def counted(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def sample_operators() -> dict[str, Operator]:
    names = {json.loads(line)["operator"] for line in SAMPLE.read_text().splitlines()}
    return {name: make_operator(name=name) for name in sorted(names)}


def test_it_turns_a_report_into_log_state_live_view_and_event(now: datetime, drain: Callable[[], object]) -> None:
    operator = make_operator()

    report([body(operator, at=now, errorRate=0.02, latencyMs=None)])
    ingest()

    logged = HealthReport.objects.get()
    assert (logged.operator_id, logged.observed_at, logged.latency_ms) == (operator.pk, now, None)
    status = HealthStatus.objects.get(pk=operator.pk)
    assert (status.state, status.effective_state, status.since, status.sequence) == ("HEALTHY", "HEALTHY", now, 1)
    operator.refresh_from_db()
    assert (operator.health_state, operator.version) == ("HEALTHY", 1)
    assert stored_moves() == {str(operator.pk): [("UNKNOWN", "HEALTHY", "BOUND", now)]}
    stamp = now.strftime("%Y-%m-%dT%H:%M:%S.000000Z")
    assert live_view() == {
        str(operator.pk): {
            "state": "HEALTHY",
            "since": stamp,
            "errorRate": 0.02,
            "bindError": None,
            "observedAt": stamp,
        }
    }
    drain()
    [event] = read_stream("OPERATOR_HEALTH")[-1:]
    assert event.subject == "operator.health"
    assert event.headers["Nats-Msg-Id"] == event.body["eventId"]
    assert {key: event.body[key] for key in ("operatorId", "version", "previousState", "newState", "reason")} == {
        "operatorId": str(operator.pk),
        "version": 1,
        "previousState": "UNKNOWN",
        "newState": "HEALTHY",
        "reason": "BOUND",
    }


@pytest.mark.parametrize("batch", [pytest.param(1, marks=pytest.mark.faults), 7, 1000])
def test_it_moves_the_sample_as_expected_wherever_batches_are_cut(batch: int) -> None:
    names = {str(operator.pk): name for name, operator in sample_operators().items()}
    expected = json.loads(EXPECTED.read_text())

    call_command("replay_health", SAMPLE, shift_days=0)
    ingest(batch=batch, without_clock=True)

    found = {
        (names[operator_id], before, after, at.strftime("%Y-%m-%dT%H:%M:%SZ"), reason)
        for operator_id, path in stored_moves().items()
        for before, after, reason, at in path
    }
    assert found == {
        (each["operator"], each["from"], each["to"], each["at"], each["reason"]) for each in expected["transitions"]
    }
    assert HealthTransition.objects.count() == len(expected["transitions"])
    assert HealthReport.objects.count() == expected["distinct"]


def test_it_ends_in_the_same_states_when_all_comes_again_shuffled(now: datetime) -> None:
    operators = [make_operator() for _ in range(3)]
    chance = random.Random(7)
    begin = now - timedelta(hours=1)
    bodies = [
        body(
            operator,
            at=begin + timedelta(seconds=10 * tick),
            bindState=chance.choice(["BOUND", "BOUND", "BOUND", "FAILBACK", "UNBOUND"]),
            errorRate=chance.choice([0.0, 0.05, 0.1, 0.3]),
        )
        for tick in range(60)
        for operator in operators
    ]
    report(bodies)
    ingest(batch=50, without_clock=True)
    moves, states = stored_moves(), list(HealthStatus.objects.order_by("pk").values())
    assert moves == expected_moves(bodies)

    again = bodies + chance.sample(bodies, 20)
    chance.shuffle(again)
    report(again)
    before = counted("ops_health_reports_total", result="duplicate")
    ingest(batch=50, without_clock=True)

    assert stored_moves() == moves
    assert list(HealthStatus.objects.order_by("pk").values()) == states
    assert HealthReport.objects.count() == len(bodies)
    assert counted("ops_health_reports_total", result="duplicate") == before + len(again)


def test_it_logs_a_late_report_and_moves_nothing(now: datetime) -> None:
    operator = make_operator()
    report([body(operator, at=now), body(operator, at=now - timedelta(seconds=10), bindState="UNBOUND")])
    before = counted("ops_health_reports_total", result="late")

    ingest()

    assert HealthReport.objects.count() == 2
    assert HealthStatus.objects.get().state == "HEALTHY"
    assert counted("ops_health_reports_total", result="late") == before + 1


def bad_messages(good: Operator, deleted: Operator, now: datetime) -> dict[str, list[tuple[str, bytes]]]:
    """Every kind of message that is no acceptable report, by the reason that it must be given."""
    subject = f"smpp.health.{good.pk}"
    text = json.dumps(body(good, at=now))
    stranger = uuid.uuid4()
    return {
        "EMPTY": [(subject, b"")],
        "TOO_LARGE": [(subject, b" " * 1_000_000), (subject, text.encode() + b" " * 100_000)],
        "NOT_UTF8": [(subject, text.replace("smpp-connector-0", "\udcff").encode(errors="surrogateescape"))],
        "NOT_JSON": [(subject, b"{"), (subject, text.replace("0.01", "NaN").encode())],
        "INVALID_FIELD": [
            (subject, b"[]"),
            (subject, b"[" * 10_000),
            (subject, b"null"),
            (subject, text.replace("0.01", '"0.01"').encode()),
            (subject, text.replace("0.01", "1.01").encode()),
            (subject, text.replace('"BOUND"', '"bound"').encode()),
            (subject, text.replace("120", "1.5").encode()),
            (subject, text.replace('"latencyMs": 120', '"latencyMs": -1').encode()),
            (subject, json.dumps({"operatorId": str(good.pk)}).encode()),
        ],
        "FUTURE": [(subject, json.dumps(body(good, at=now + timedelta(minutes=6))).encode())],
        "WRONG_SUBJECT": [(f"smpp.health.{stranger}", text.encode())],
        "UNKNOWN_OPERATOR": [
            (f"smpp.health.{stranger}", json.dumps(body(stranger, at=now)).encode()),
            (f"smpp.health.{deleted.pk}", json.dumps(body(deleted, at=now)).encode()),
        ],
    }


def test_it_sets_bad_messages_aside_with_their_reason_and_stores_the_good_ones_around_them(now: datetime) -> None:
    operator, deleted = make_operator(), make_operator()
    delete_operator(actor=ALICE, operator_id=deleted.pk)
    bad = bad_messages(operator, deleted, now)
    reasons = Counter({reason: len(messages) for reason, messages in bad.items()})
    before = {reason: counted("ops_health_dead_total", reason=reason) for reason in bad}
    good = [body(operator, at=now - timedelta(seconds=200 - tick)) for tick in range(reasons.total())]
    mixed: list[tuple[str, bytes]] = []
    for each, message in zip(good, (each for messages in bad.values() for each in messages), strict=True):
        mixed += [(f"smpp.health.{operator.pk}", json.dumps(each).encode()), message]

    publish(mixed)
    ingest(batch=5)

    assert HealthReport.objects.count() == len(good)
    letters = read_stream(DEAD_LETTERS.name)
    assert Counter(letter.headers["Ops-Dead-Reason"] for letter in letters) == reasons
    assert {
        reason: counted("ops_health_dead_total", reason=reason) - count for reason, count in before.items()
    } == reasons
    sent = Counter((subject, raw[:65536]) for messages in bad.values() for subject, raw in messages)
    assert Counter((letter.headers["Ops-Dead-Subject"], letter.raw) for letter in letters) == sent
    [future] = [letter for letter in letters if letter.headers["Ops-Dead-Reason"] == "FUTURE"]
    assert future.headers["Ops-Dead-Field"] == "observedAt"


def test_it_finds_the_report_that_the_database_refuses_and_takes_in_the_others(now: datetime) -> None:
    operator = make_operator()
    bodies = [body(operator, at=now - timedelta(seconds=60 - tick), latencyMs=tick) for tick in range(21)]
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE operator_health_log ADD CONSTRAINT trap CHECK (latency_ms <> 13)")
    try:
        report(bodies)
        ingest()
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE operator_health_log DROP CONSTRAINT trap")

    assert set(HealthReport.objects.values_list("latency_ms", flat=True)) == set(range(21)) - {13}
    [letter] = read_stream(DEAD_LETTERS.name)
    assert json.loads(letter.raw)["latencyMs"] == 13


def test_it_makes_a_silent_operator_unknown_by_the_clock(now: datetime) -> None:
    silent, alive = make_operator(), make_operator()
    report([body(silent, at=now), body(alive, at=now)])
    ingest()
    HealthStatus.objects.filter(pk=silent.pk).update(received_at=timezone.now() - timedelta(seconds=60.1))

    ingest()

    assert {status.pk: status.state for status in HealthStatus.objects.all()} == {
        silent.pk: "UNKNOWN",
        alive.pk: "HEALTHY",
    }
    assert stored_moves()[str(silent.pk)][-1] == ("HEALTHY", "UNKNOWN", "STALE", now + timedelta(seconds=60))
    event = OutboxEvent.objects.filter(operator_id=silent.pk, subject="operator.health").latest("id").payload
    assert (event["newState"], event["reason"], event["errorRate"], event["version"]) == ("UNKNOWN", "STALE", None, 2)
    view = live_view()
    assert view[str(silent.pk)] is None
    assert view[str(alive.pk)] is not None


def test_it_goes_on_when_a_silent_operator_is_deleted_in_the_middle_of_it(
    now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    deleted, silent = make_operator(), make_operator()
    report([body(deleted, at=now), body(silent, at=now)])
    ingest()
    HealthStatus.objects.update(received_at=timezone.now() - timedelta(minutes=2))

    def delete() -> None:
        delete_operator(actor=ALICE, operator_id=deleted.pk)
        connection.close()

    def delete_first(operator_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, HealthWindow]:
        staff = Thread(target=delete)
        staff.start()
        staff.join()
        monkeypatch.undo()
        return open_windows(operator_ids)

    monkeypatch.setattr(clock, "open_windows", delete_first)

    ingest()
    ingest()

    assert HealthStatus.objects.get(pk=silent.pk).state == "UNKNOWN"


def test_it_leaves_silence_alone_without_the_clock(now: datetime) -> None:
    operator = make_operator()
    report([body(operator, at=now - timedelta(days=1))])
    ingest()
    HealthStatus.objects.update(received_at=timezone.now() - timedelta(hours=1))

    ingest(without_clock=True)

    assert HealthStatus.objects.get(pk=operator.pk).state == "HEALTHY"


def test_it_breaks_runs_at_a_silence_that_the_clock_has_seen(now: datetime) -> None:
    operator = make_operator()
    begin = now - timedelta(minutes=10)
    report([body(operator, at=begin), body(operator, at=begin + timedelta(seconds=10), errorRate=0.3)])
    ingest()
    HealthStatus.objects.update(received_at=timezone.now() - timedelta(seconds=61))
    ingest()

    report([body(operator, at=begin + timedelta(seconds=100), errorRate=0.3)])
    ingest()

    status = HealthStatus.objects.get()
    assert (status.state, status.above_degraded_since) == ("HEALTHY", begin + timedelta(seconds=100))


def test_it_hides_moves_behind_a_window_and_shows_the_state_when_the_window_ends(now: datetime) -> None:
    operator = make_operator()
    report([body(operator, at=now - timedelta(seconds=20))])
    ingest()
    actions.override_health(
        actor=ALICE,
        operator_id=operator.pk,
        state=HealthState.DEGRADED,
        until=timezone.now() + timedelta(hours=1),
        reason="The carrier asks for less traffic.",
    )
    report([body(operator, at=now - timedelta(seconds=10), bindState="UNBOUND", bindError="ESME_RBINDFAIL")])
    ingest()

    status = HealthStatus.objects.get()
    assert (status.state, status.effective_state, status.effective_reason) == ("UNHEALTHY", "DEGRADED", "OVERRIDE")
    view = live_view()[str(operator.pk)]
    assert view is not None
    assert (view["state"], view["bindError"]) == ("DEGRADED", "ESME_RBINDFAIL")
    hidden = HealthTransition.objects.get(to_state="UNHEALTHY")
    assert (hidden.is_hidden, hidden.sequence) == (True, None)

    HealthWindow.objects.update(
        starts_at=timezone.now() - timedelta(hours=2), ends_at=timezone.now() - timedelta(seconds=1)
    )
    ingest()

    status = HealthStatus.objects.get()
    assert (status.effective_state, status.effective_reason) == ("UNHEALTHY", "OVERRIDE")
    operator.refresh_from_db()
    assert operator.health_state == "UNHEALTHY"
    window = HealthWindow.objects.get()
    assert (window.ended_at, window.closed_by) == (window.ends_at, "")
    versions = [
        (event.payload["version"], event.payload["previousState"], event.payload["newState"])
        for event in OutboxEvent.objects.filter(subject="operator.health").order_by("id")
    ]
    assert versions == [(1, "UNKNOWN", "HEALTHY"), (2, "HEALTHY", "DEGRADED"), (3, "DEGRADED", "UNHEALTHY")]


def test_it_keeps_the_live_view_of_a_silent_operator_in_maintenance(now: datetime) -> None:
    operator = make_operator()
    actions.start_maintenance(
        actor=ALICE, operator_id=operator.pk, until=timezone.now() + timedelta(hours=1), reason="New firewall."
    )

    ingest()

    view = live_view()[str(operator.pk)]
    assert view is not None
    assert (view["state"], view["observedAt"]) == ("UNHEALTHY", None)


def test_it_takes_reports_of_an_operator_that_was_restored(now: datetime) -> None:
    operator = make_operator()
    report([body(operator, at=now - timedelta(seconds=30))])
    ingest()
    delete_operator(actor=ALICE, operator_id=operator.pk)
    restore_operator(actor=ALICE, operator_id=operator.pk)

    report([body(operator, at=now, bindState="UNBOUND")])
    ingest()

    assert HealthStatus.objects.get().state == "UNHEALTHY"


def test_it_makes_the_status_of_an_operator_that_has_none(now: datetime) -> None:
    operator = make_operator()
    HealthStatus.objects.all().delete()

    report([body(operator, at=now)])
    ingest()

    assert HealthStatus.objects.get().state == "HEALTHY"
