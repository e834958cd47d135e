"""POST /v1/internal/health: what reaches the stream, what is set aside, and what is said of both."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connection
from django.utils import timezone
from opentelemetry import trace
from pytest_django import DjangoAssertNumQueries
from rest_framework.test import APIClient

from deploy.dev.nats import Nats
from health import metrics
from health.intake import MAX_BATCH
from health.sender import sender
from operators.actions import delete_operator
from operators.models import Operator
from operators.wire import rfc3339
from tests.config.peers import InternalClient, connector, router
from tests.factories import ALICE, make_operator
from tests.health.api.cast import INTAKE, post, report
from tests.operators.api.cast import address, errors, refused
from tests.streams import Message, purge_stream, read_stream

pytestmark = pytest.mark.django_db

DEAD = "smpp.health.dead"

# 5 s by the clock of the loop; the rest is for a machine that is held up.
BOUNDED = 12


@pytest.fixture(autouse=True)
def _empty_stream() -> None:
    purge_stream("SMPP_HEALTH")


@pytest.fixture(scope="module", autouse=True)
def _hang_up() -> Iterator[None]:
    yield
    sender.close()


@pytest.fixture
def peer() -> APIClient:
    return connector()


@pytest.fixture
def operator() -> Operator:
    return make_operator()


def stored() -> list[Message]:
    return read_stream("SMPP_HEALTH")


def dead_letters() -> list[tuple[str, str]]:
    """Reason and field of each dead letter in the stream, in their order."""
    letters = [message for message in stored() if message.subject == DEAD]
    return [(letter.headers["Ops-Dead-Reason"], letter.headers["Ops-Dead-Field"]) for letter in letters]


def test_it_stores_a_report_as_its_connector_would(peer: APIClient, operator: Operator) -> None:
    body = json.dumps(report(operator, firmware="of a newer connector")).encode()
    answer = post(peer, body)
    assert (answer.status_code, answer.json()) == (202, {"accepted": 1, "rejected": []})
    [message] = stored()
    assert (message.subject, message.raw) == (f"smpp.health.{operator.pk}", body), "byte for byte"
    assert message.headers["Nats-Msg-Id"] == message.body["eventId"]
    assert message.headers["Content-Type"] == "application/json"


def test_it_passes_on_the_trace_of_the_request(peer: APIClient, operator: Operator) -> None:
    with trace.get_tracer("tests").start_as_current_span("connector") as parent:
        trace_id = format(parent.get_span_context().trace_id, "032x")
        post(peer, report(operator), HTTP_TRACEPARENT=f"00-{trace_id}-{'1' * 16}-01")
    [message] = stored()
    assert message.headers["traceparent"].split("-")[1] == trace_id


def test_it_stores_a_repeated_report_once(peer: APIClient, operator: Operator) -> None:
    body = [report(operator), report(operator)]
    for _ in range(3):
        assert post(peer, body).json() == {"accepted": 2, "rejected": []}
    assert len(stored()) == 2


def test_it_takes_the_good_ones_of_a_batch_and_lists_the_others(peer: APIClient, operator: Operator) -> None:
    gone = make_operator()
    delete_operator(actor=ALICE, operator_id=gone.pk)
    good = [report(operator), report(operator)]
    no_rate = report(operator)
    del no_rate["errorRate"]
    ahead = report(operator, observedAt=rfc3339(timezone.now() + timedelta(minutes=6)))
    nobody, deleted = report(uuid4()), report(gone)
    before = {name: metrics.dead.labels(name)._value.get() for name in ("UNKNOWN_OPERATOR", "INVALID_FIELD", "FUTURE")}

    answer = post(peer, [no_rate, good[0], nobody, ahead, deleted, good[1], 7, {"eventId": "?"}])

    assert answer.status_code == 202
    receipt = answer.json()
    assert receipt["accepted"] == 2
    told = [(each["index"], each["eventId"], each["reason"], each["field"]) for each in receipt["rejected"]]
    assert told == [
        (0, no_rate["eventId"], "INVALID_FIELD", "errorRate"),
        (2, nobody["eventId"], "UNKNOWN_OPERATOR", "operatorId"),
        (3, ahead["eventId"], "FUTURE", "observedAt"),
        (4, deleted["eventId"], "UNKNOWN_OPERATOR", "operatorId"),
        (6, None, "INVALID_FIELD", ""),
        (7, None, "INVALID_FIELD", "eventId"),
    ]
    assert receipt["rejected"][0]["message"] == "This field is required."
    assert [message.body["eventId"] for message in stored() if message.subject != DEAD] == [
        each["eventId"] for each in good
    ]
    letters = [message for message in stored() if message.subject == DEAD]
    assert [json.loads(letter.raw) for letter in letters] == [no_rate, nobody, ahead, deleted, 7, {"eventId": "?"}]
    assert [letter.headers["Ops-Dead-Reason"] for letter in letters] == [reason for _, _, reason, _ in told]
    assert {letter.headers["Ops-Dead-Subject"] for letter in letters} == {"POST /v1/internal/health"}
    after = {name: metrics.dead.labels(name)._value.get() for name in before}
    assert after == {
        "UNKNOWN_OPERATOR": before["UNKNOWN_OPERATOR"] + 2,
        "INVALID_FIELD": before["INVALID_FIELD"] + 3,
        "FUTURE": before["FUTURE"] + 1,
    }


@pytest.mark.parametrize(
    ("wrong", "field", "reason"),
    [
        pytest.param({"errorRate": "0.1"}, "errorRate", "INVALID_FIELD", id="text for a number"),
        pytest.param({"errorRate": 1.5}, "errorRate", "INVALID_FIELD", id="rate above 1"),
        pytest.param({"bindState": "bound"}, "bindState", "INVALID_FIELD", id="unknown state"),
        pytest.param({"operatorId": "comium"}, "operatorId", "INVALID_FIELD", id="no UUID"),
        pytest.param({"observedAt": "2026-11-24T00:00:00"}, "observedAt", "INVALID_FIELD", id="no offset"),
        pytest.param({"latencyMs": 2**31}, "latencyMs", "INVALID_FIELD", id="too slow"),
        pytest.param({"connectorId": ""}, "connectorId", "INVALID_FIELD", id="blank"),
        pytest.param({"operatorId": str(uuid4())}, "operatorId", "UNKNOWN_OPERATOR", id="unknown operator"),
    ],
)
def test_it_refuses_a_single_report_by_its_field(
    peer: APIClient, operator: Operator, wrong: dict[str, Any], field: str, reason: str
) -> None:
    assert set(errors(post(peer, report(operator, **wrong)))) == {field}
    assert dead_letters() == [(reason, field)]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        pytest.param(b"", "EMPTY", id="empty"),
        pytest.param(b"{", "NOT_JSON", id="cut off"),
        pytest.param(b"[{}", "NOT_JSON", id="array cut off"),
        pytest.param(b"[{}] x", "NOT_JSON", id="more behind"),
        pytest.param(b'{"errorRate": NaN}', "NOT_JSON", id="NaN"),
        pytest.param(b'[{"errorRate": NaN}]', "NOT_JSON", id="NaN in an array"),
        pytest.param(b'{"a": "\xff"}', "NOT_UTF8", id="not UTF-8"),
        pytest.param(b"[" * 300_000, "NOT_JSON", id="nested arrays"),
        pytest.param(b'{"a":' * 100_000, "TOO_LARGE", id="nested objects"),
        pytest.param(b'{"a":' * 10_000, "NOT_JSON", id="nested objects of allowed size"),
        pytest.param(b'{"a": "' + b"x" * 70_000 + b'"}', "TOO_LARGE", id="report too large"),
        pytest.param(b"x" * (1_048_576 + 1), "TOO_LARGE", id="body too large"),
        pytest.param(b"null", "INVALID_FIELD", id="null"),
    ],
)
def test_it_refuses_a_body_that_is_no_report(peer: APIClient, body: bytes, reason: str) -> None:
    answer = post(peer, body)
    if len(body) > settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
        refused(answer, status=413, code="PAYLOAD_TOO_LARGE")
    else:
        assert set(errors(answer)) == {"body"}
    assert [letter[0] for letter in dead_letters()] == [reason]


def test_it_sets_aside_what_is_wrong_inside_an_item(peer: APIClient, operator: Operator) -> None:
    good = json.dumps(report(operator)).encode()
    twice = good[:-1] + b', "errorRate": 0}'
    foreign = good.replace(b"smpp-connector-1", b"\xff\xfe")
    huge = good[:-1] + b', "x": "' + b"x" * 70_000 + b'"}'
    answer = post(peer, b"[" + b",".join([twice, foreign, huge, good]) + b"]")
    assert answer.status_code == 202, answer.content
    assert answer.json()["accepted"] == 1
    assert [reason for reason, _ in dead_letters()] == ["INVALID_FIELD", "NOT_UTF8", "TOO_LARGE"]


def test_it_refuses_batches_that_are_empty_too_long_or_all_wrong(peer: APIClient, operator: Operator) -> None:
    for body in ([], [report(operator)] * (MAX_BATCH + 1)):
        assert errors(post(peer, body)) == {"body": "A batch has 1 to 1000 reports."}
    assert stored() == []
    wrong = [report(operator, errorRate=2), report(uuid4()), 5]
    assert set(errors(post(peer, wrong))) == {"[0].errorRate", "[1].operatorId", "[2]"}
    assert len(dead_letters()) == 3


def test_it_refuses_what_is_no_json_request(peer: APIClient, operator: Operator) -> None:
    raw = json.dumps(report(operator))
    for content_type in ("text/plain", "application/json; charset=latin-1"):
        refused(peer.post(INTAKE, raw, content_type=content_type), status=415, code="UNSUPPORTED_MEDIA_TYPE")
    assert set(errors(peer.post(f"{INTAKE}?dryRun=true", raw, content_type="application/json"))) == {"dryRun"}
    refused(peer.get(INTAKE), status=405, code="METHOD_NOT_ALLOWED")
    assert stored() == []


def test_it_is_closed_to_strangers_and_to_routing(operator: Operator) -> None:
    refused(post(InternalClient(), report(operator)), status=401, code="UNAUTHENTICATED")
    refused(post(router(), report(operator)), status=403, code="FORBIDDEN")
    assert stored() == []


def test_it_takes_a_thousand_at_once_with_one_query(
    peer: APIClient, operator: Operator, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    others = [operator, make_operator()]
    body = [report(others[number % 2]) for number in range(MAX_BATCH)]
    with django_assert_num_queries(1):
        answer = post(peer, body)
    while answer.status_code == 503:  # a disk may take its time; to send all of it again is harmless
        answer = post(peer, body)
    assert answer.json() == {"accepted": MAX_BATCH, "rejected": []}
    assert [message.body["eventId"] for message in stored()] == [each["eventId"] for each in body], "in their order"


def test_it_says_what_is_not_stored_while_the_broker_is_away(
    peer: APIClient, operator: Operator, nats_server: Nats
) -> None:
    body = [report(operator), {"no": "report"}, report(operator)]
    assert post(peer, report(operator)).status_code == 202
    dead_before = metrics.reports.labels("dead")._value.get()
    nats_server.stop()
    try:
        for _ in range(2):
            began = time.monotonic()
            answer = post(peer, body)
            assert time.monotonic() - began < BOUNDED
            refused(answer, status=503, code="BROKER_UNAVAILABLE")
            assert answer["Retry-After"] == "2"
            assert answer.json()["accepted"] == 0
            assert answer.json()["pending"] == [
                {"index": 0, "eventId": body[0]["eventId"]},
                {"index": 2, "eventId": body[2]["eventId"]},
            ]
        refused(post(peer, b""), status=503, code="BROKER_UNAVAILABLE")
        refused(post(peer, b"x" * 1_100_000), status=413, code="PAYLOAD_TOO_LARGE")
        assert metrics.reports.labels("dead")._value.get() == dead_before, "counted when it is kept, not before"
    finally:
        nats_server.start()
    deadline = time.monotonic() + 10
    while (answer := post(peer, body)).status_code == 503:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert (answer.status_code, answer.json()["accepted"]) == (202, 2)
    assert metrics.reports.labels("dead")._value.get() == dead_before + 1


def test_it_connects_as_soon_as_there_is_a_broker(peer: APIClient, operator: Operator, nats_server: Nats) -> None:
    sender.close()
    nats_server.stop()
    try:
        began = time.monotonic()
        refused(post(peer, report(operator)), status=503, code="BROKER_UNAVAILABLE")
        assert time.monotonic() - began < BOUNDED
    finally:
        nats_server.start()
    assert post(peer, report(operator)).status_code == 202


def test_it_gives_up_on_a_broker_that_is_frozen(peer: APIClient, operator: Operator, nats_server: Nats) -> None:
    assert post(peer, report(operator)).status_code == 202
    nats_server.pause()
    try:
        began = time.monotonic()
        refused(post(peer, report(operator)), status=503, code="BROKER_UNAVAILABLE")
        assert time.monotonic() - began < BOUNDED
    finally:
        nats_server.resume()
    assert post(peer, report(operator)).status_code == 202


@pytest.mark.django_db(transaction=True)
def test_it_serves_many_threads_over_one_connection() -> None:
    operator = make_operator()
    sender.close()
    together = threading.Barrier(12)
    answers: list[int] = []

    def work() -> None:
        client = connector()
        together.wait(10)
        batches = [[report(operator) for _ in range(20)] for _ in range(5)]
        answers.extend(post(client, batch).status_code for batch in batches)
        connection.close()

    threads = [threading.Thread(target=work) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert answers == [202] * 60
    assert len(stored()) == 1200


@pytest.mark.django_db(transaction=True)
def test_it_moves_the_state_by_the_same_way_as_the_stream(api: APIClient, peer: APIClient) -> None:
    operator = make_operator()
    body = report(operator, errorRate=0.03)
    assert post(peer, body).status_code == 202
    call_command("ingest_health", once=True)
    shown = api.get(address(operator, "/health/status")).json()
    assert (shown["state"], shown["reason"], shown["errorRate"]) == ("HEALTHY", "BOUND", 0.03)
    [logged] = api.get(address(operator, "/health")).json()["data"]
    assert logged["eventId"] == body["eventId"]
    assert logged["observedAt"] == body["observedAt"] == shown["observedAt"]
