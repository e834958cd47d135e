"""GET …/health, /health/status and /health/transitions: what is shown, of which time, and what it costs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries
from rest_framework.test import APIClient

from health import actions
from health.models import HealthStatus, HealthTransition
from operators.actions import delete_operator
from operators.models import HealthState, Operator
from operators.wire import rfc3339
from tests.factories import ALICE, make_operator
from tests.health.api.cast import log, partitions_read
from tests.operators.api.cast import NOBODY, OPERATORS, address, errors, refused

pytestmark = pytest.mark.django_db


@pytest.fixture
def operator() -> Operator:
    return make_operator()


def moments_of(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.content
    return [report["observedAt"] for report in answer.json()["data"]]


def test_it_shows_the_log_of_the_last_day_newest_first(api: APIClient, operator: Operator) -> None:
    now = timezone.now()
    hours = [0.5, 3, 23.9, 24.5, 48]
    made = log(operator, [now - timedelta(hours=ago) for ago in hours] + [now + timedelta(minutes=4)])
    log(make_operator(), [now])

    answer = api.get(address(operator, "/health"))

    ahead, half, third, last = answer.json()["data"]
    assert ahead["observedAt"] == rfc3339(made[-1].observed_at), "a fast clock hides nothing"
    assert half == {
        "eventId": str(made[0].event_id),
        "connectorId": "smpp-connector-1",
        "observedAt": rfc3339(made[0].observed_at),
        "receivedAt": rfc3339(made[0].received_at),
        "bindState": "BOUND",
        "errorRate": 0.25,
        "bindError": "ESME_RTHROTTLED",
        "latencyMs": None,
    }
    assert [third["eventId"], last["eventId"]] == [str(made[1].event_id), str(made[2].event_id)]
    assert answer.json()["meta"] == {"total": 4, "page": 1, "limit": 50}


def test_it_shows_the_span_that_was_asked_for(api: APIClient, operator: Operator) -> None:
    noon = timezone.now().replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=1)
    log(operator, [noon + timedelta(minutes=10 * step) for step in range(6)])
    span = {"from": rfc3339(noon + timedelta(minutes=10)), "to": rfc3339(noon + timedelta(minutes=40))}

    found = moments_of(api.get(address(operator, "/health"), span))
    assert found == [rfc3339(noon + timedelta(minutes=10 * step)) for step in (3, 2, 1)], "without its end"

    pages = [
        moments_of(api.get(address(operator, "/health"), {**span, "limit": 2, "page": page})) for page in (1, 2, 3)
    ]
    assert pages == [found[:2], found[2:], []]

    elsewhere = {"from": (noon + timedelta(hours=3, minutes=10)).strftime("%Y-%m-%dt%H:%M:%S.0+03:00")}
    assert len(moments_of(api.get(address(operator, "/health"), elsewhere))) == 5
    day_before = {"to": rfc3339(noon + timedelta(minutes=1))}
    assert len(moments_of(api.get(address(operator, "/health"), day_before))) == 1


@pytest.mark.parametrize(
    ("query", "field"),
    [
        pytest.param("from=yesterday", "from", id="words"),
        pytest.param("from=2026-11-01", "from", id="date"),
        pytest.param("to=2026-11-01T00:00:00", "to", id="no offset"),
        pytest.param("to=2026-11-01T00:00:00+01:00", "to", id="plus unescaped"),
        pytest.param("to=2026-11-31T00:00:00Z", "to", id="no such day"),
        pytest.param("to=2026-11-01T24:00:01Z", "to", id="no such hour"),
        pytest.param("to=1699999999", "to", id="seconds"),
        pytest.param("to=20261101T000000Z", "to", id="basic format"),
        pytest.param("to=0001-01-01T00:00:00Z", "to", id="year 1"),
        pytest.param("from=9999-12-31T23:59:59Z", "from", id="year 9999"),
        pytest.param("from=%00", "from", id="NUL"),
        pytest.param("from=2026-11-01T00:00:00Z&from=2026-11-02T00:00:00Z", "from", id="twice"),
        pytest.param("from=2026-11-02T00:00:00Z&to=2026-11-02T00:00:00Z", "to", id="no span"),
        pytest.param("from=2026-11-03T00:00:00Z&to=2026-11-02T00:00:00Z", "to", id="backwards"),
        pytest.param("From=2026-11-03T00:00:00Z", "From", id="unknown"),
        pytest.param("limit=201", "limit", id="limit"),
    ],
)
@pytest.mark.parametrize("tail", ["/health", "/health/transitions"])
def test_it_refuses_what_is_no_span(api: APIClient, operator: Operator, tail: str, query: str, field: str) -> None:
    assert set(errors(api.get(f"{address(operator, tail)}?{query}"))) == {field}


def test_it_reads_at_most_31_days(api: APIClient, operator: Operator) -> None:
    at = address(operator, "/health")
    span = {"from": "2026-10-01T00:00:00Z", "to": "2026-11-01T00:00:00Z"}
    assert api.get(at, span).status_code == 200
    assert errors(api.get(at, {**span, "to": "2026-11-01T00:00:00.000001Z"})) == {"from": "At most 31 days before to."}
    long_ago = rfc3339(timezone.now() - timedelta(days=31, seconds=1))
    assert set(errors(api.get(at, {"from": long_ago}))) == {"from"}
    ahead = rfc3339(timezone.now() + timedelta(days=1))
    assert set(errors(api.get(at, {"from": ahead}))) == {"from"}


def test_it_reads_only_the_partitions_of_the_span(api: APIClient, operator: Operator) -> None:
    day = datetime.combine(timezone.now().date(), datetime.min.time(), UTC)
    span = {"from": rfc3339(day - timedelta(days=1)), "to": rfc3339(day), "limit": "1"}
    with CaptureQueriesContext(connection) as queries:
        log(operator, [day - timedelta(hours=1)])
        answer = api.get(address(operator, "/health"), span)
    assert len(moments_of(answer)) == 1
    reads = [query["sql"] for query in queries if query["sql"].startswith("SELECT") and "health_log" in query["sql"]]
    assert len(reads) == 2, "one count, one page"
    for sql in reads:
        [name] = partitions_read(sql)
        # pg_partman 4.7 writes the day with underscores, 5.x without.
        assert name.replace("_", "").endswith(f"{day - timedelta(days=1):%Y%m%d}")


def test_it_costs_three_queries_however_long_the_page(
    api: APIClient, operator: Operator, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    now = timezone.now()
    log(operator, [now - timedelta(seconds=10 * step) for step in range(150)])
    for limit in (1, 150):
        with django_assert_num_queries(3):
            assert len(moments_of(api.get(address(operator, "/health"), {"limit": limit}))) == limit


def test_it_shows_how_an_operator_is(
    api: APIClient, operator: Operator, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    at = address(operator, "/health/status")
    unknown = api.get(at).json()
    assert unknown == {
        "operatorId": str(operator.pk),
        "state": "UNKNOWN",
        "since": None,
        "reason": "",
        "measuredState": "UNKNOWN",
        "measuredSince": None,
        "errorRate": None,
        "bindState": None,
        "bindError": None,
        "latencyMs": None,
        "connectorId": None,
        "observedAt": None,
        "receivedAt": None,
        "sequence": 0,
        "maintenance": None,
        "override": None,
    }

    seen = timezone.now()
    HealthStatus.objects.filter(pk=operator.pk).update(
        state="DEGRADED", since=seen, reason="ERROR_RATE", error_rate=0.125, bind_state="FAILBACK", latency_ms=7,
        connector_id="c1", observed_at=seen, received_at=seen + timedelta(seconds=1),
    )  # fmt: skip
    until = timezone.now() + timedelta(hours=1)
    actions.override_health(
        actor=ALICE, operator_id=operator.pk, state=HealthState.HEALTHY, until=until, reason="false alarm"
    )
    window = actions.start_maintenance(actor=ALICE, operator_id=operator.pk, until=until, reason="works")
    with django_assert_num_queries(2):
        shown = api.get(at).json()
    assert (shown["state"], shown["reason"], shown["sequence"]) == ("UNHEALTHY", "MAINTENANCE", 2)
    assert shown["since"] == rfc3339(window.starts_at)
    assert (shown["measuredState"], shown["measuredSince"]) == ("DEGRADED", rfc3339(seen))
    assert (shown["errorRate"], shown["bindState"], shown["bindError"]) == (0.125, "FAILBACK", None)
    assert (shown["latencyMs"], shown["connectorId"], shown["observedAt"]) == (7, "c1", rfc3339(seen))
    assert shown["maintenance"] == {
        "state": "UNHEALTHY",
        "until": rfc3339(until),
        "reason": "works",
        "startedAt": rfc3339(window.starts_at),
        "startedBy": "alice",
    }
    assert (shown["override"]["state"], shown["override"]["reason"]) == ("HEALTHY", "false alarm")
    assert set(errors(api.get(at, {"page": 1}))) == {"page"}
    HealthStatus.objects.all().delete()
    assert api.get(at).json()["state"] == "UNKNOWN", "a row that is missing is made by ingest"


def test_it_tells_the_moves_newest_first(
    api: APIClient, operator: Operator, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    noon = timezone.now() - timedelta(days=400)
    for step, (before, after) in enumerate(pairwise(("UNKNOWN", "HEALTHY", "UNHEALTHY", "DEGRADED"))):
        HealthTransition.objects.create(
            operator=operator, from_state=before, to_state=after, reason="BOUND", at=noon + timedelta(minutes=step),
            recorded_at=noon, error_rate=0.5, bind_error="ESME_RBINDFAIL", is_hidden=step == 2,
            sequence=None if step == 2 else step + 1,
        )  # fmt: skip
    at = address(operator, "/health/transitions")
    with django_assert_num_queries(3):
        answer = api.get(at)
    hidden, lost, first = answer.json()["data"]
    assert lost == {
        "previousState": "HEALTHY",
        "newState": "UNHEALTHY",
        "reason": "BOUND",
        "at": rfc3339(noon + timedelta(minutes=1)),
        "recordedAt": rfc3339(noon),
        "errorRate": 0.5,
        "bindError": "ESME_RBINDFAIL",
        "hidden": False,
        "sequence": 2,
    }
    assert (hidden["hidden"], hidden["sequence"], first["newState"]) == (True, None, "HEALTHY")

    since = {"from": rfc3339(noon + timedelta(minutes=1))}
    assert [move["newState"] for move in api.get(at, since).json()["data"]] == ["DEGRADED", "UNHEALTHY"]
    until = {"to": rfc3339(noon + timedelta(minutes=1))}
    assert [move["newState"] for move in api.get(at, until).json()["data"]] == ["HEALTHY"]
    assert api.get(at, {"limit": 2, "page": 2}).json()["meta"] == {"total": 3, "page": 2, "limit": 2}


def test_it_shows_nothing_of_an_operator_that_is_not_there(api: APIClient, operator: Operator) -> None:
    delete_operator(actor=ALICE, operator_id=operator.pk)
    for tail in ("/health", "/health/status", "/health/transitions"):
        refused(api.get(address(operator, tail)), status=404, code="NOT_FOUND")
        refused(api.get(f"{OPERATORS}/{NOBODY}{tail}"), status=404, code="NOT_FOUND")


def test_it_lets_readers_read(token: Any, operator: Operator) -> None:
    client = APIClient()
    for tail in ("/health", "/health/status", "/health/transitions"):
        client.credentials()
        refused(client.get(address(operator, tail)), status=401, code="UNAUTHENTICATED")
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {token(scope='ops:read')}")
        assert client.get(address(operator, tail)).status_code == 200
