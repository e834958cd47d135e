"""Passwords from a real Vault over real TLS: to the right certificate alone, and always the one that is valid."""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from config.devcerts import Authority
from deploy.dev.openbao import OpenBao
from operators import actions
from operators.models import AuditEntry, CredentialRead, Operator, OutboxEvent
from operators.secrets import Secret
from operators.vault import forget_clients
from tests.config.listener import HOST, Listener, Mount, running
from tests.factories import ALICE, make_operator
from tests.operators.api.cast import NOBODY
from tests.servers import CONNECTOR, ROUTER

pytestmark = pytest.mark.django_db(transaction=True)

HOUR = timedelta(hours=1)
LONGEST = 3.0  # seconds for any answer while Vault is away


class Answer(NamedTuple):
    status: int
    body: dict[str, Any]
    headers: dict[str, str]
    took: float


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.create("Tests CA")


@pytest.fixture
def listener(process_env: dict[str, str], tmp_path: Any, authority: Authority) -> Iterator[Listener]:
    mount = Mount(tmp_path)
    mount.put(authority.issue("localhost", hosts=["localhost"], addresses=[HOST], is_server=True), authority)
    files = {"INTERNAL_TLS_CERT": "tls.crt", "INTERNAL_TLS_KEY": "tls.key", "INTERNAL_TLS_CA": "ca.crt"}
    paths = {name: str(mount.path(file)) for name, file in files.items()}
    with running({**process_env, **paths}, mount.home, threads=8) as found:
        yield found


@pytest.fixture
def connector(listener: Listener, authority: Authority) -> ssl.SSLContext:
    return listener.context(authority, authority.issue("connector", uris=[CONNECTOR]))


def address(operator: Operator) -> str:
    return f"/v1/internal/operators/{operator.pk}/credentials"


def ask(listener: Listener, context: ssl.SSLContext, path: str, **headers: str) -> Answer:
    began = time.monotonic()
    with closing(listener.connect(context)) as caller:
        caller.request("GET", path, headers=headers)
        answer = caller.getresponse()
        body = json.loads(answer.read())
    return Answer(answer.status, body, dict(answer.getheaders()), time.monotonic() - began)


def ask_at_once(listener: Listener, context: ssl.SSLContext, path: str, count: int) -> list[Answer]:
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(lambda _: ask(listener, context, path), range(count)))


def eventually(check: Callable[[], bool], *, within: float = 20.0) -> None:
    deadline = time.monotonic() + within
    while not check():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.02)


def test_it_gives_the_password_to_the_connector_s_certificate_and_to_no_other(
    listener: Listener, authority: Authority, connector: ssl.SSLContext
) -> None:
    operator = make_operator(password="zq7-K#x9")
    answer = ask(listener, connector, address(operator))
    assert (answer.status, answer.body["password"]) == (200, "zq7-K#x9")
    assert answer.headers["Cache-Control"] == "no-store"
    assert "ETag" not in answer.headers

    now = datetime.now(UTC)
    foreign = Authority.create("Tests CA")
    refused_by_tls = {
        "missing": None,
        "expired": authority.issue("connector", uris=[CONNECTOR], valid=(now - 2 * HOUR, now - HOUR)),
        "foreign": foreign.issue("connector", uris=[CONNECTOR]),
    }
    for name, pair in refused_by_tls.items():
        with pytest.raises((ssl.SSLError, ConnectionError)):
            ask(listener, listener.context(authority, pair), address(operator))
            pytest.fail(f"{name}: got an answer")
    refused_by_name = {
        "wrong service": authority.issue("router", uris=[ROUTER]),
        "unknown service": authority.issue("connector", uris=[f"{CONNECTOR}-2"]),
        "common name only": authority.issue("smpp-connector", hosts=["elsewhere.example"]),
    }
    for name, pair in refused_by_name.items():
        refusal = ask(listener, listener.context(authority, pair), address(operator))
        assert (refusal.status, refusal.body["code"]) == (403, "FORBIDDEN"), name
        assert "zq7-K#x9" not in json.dumps(refusal.body)
    assert list(CredentialRead.objects.values_list("caller", "identity", "result")) == [
        ("smpp-connector", CONNECTOR, "ok")
    ]


def test_it_leaves_the_password_nowhere_else(
    listener: Listener,
    authority: Authority,
    connector: ssl.SSLContext,
    api: APIClient,
    staff_client: Client,
) -> None:
    operator = make_operator(password="zq7-K#x9")
    canary = "zq7-K#x9"
    assert ask(listener, connector, address(operator)).body["password"] == canary
    router = listener.context(authority, authority.issue("router", uris=[ROUTER]))

    shown = [
        json.dumps(ask(listener, context, f"/v1/internal/operators{tail}?rules=true").body)
        for context in (connector, router)
        for tail in ("", f"/{operator.pk}")
    ]
    shown += [api.get(f"/v1/admin/operators{tail}").content.decode() for tail in ("", f"/{operator.pk}")]
    shown.append(staff_client.get(reverse("admin:operators_operator_change", args=[operator.pk])).content.decode())
    listener.process.terminate()
    assert listener.process.wait(25) == 0
    shown.append(listener.log.read_text())
    for model in (Operator, AuditEntry, CredentialRead, OutboxEvent):
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT row_to_json(kept)::text FROM {model._meta.db_table} AS kept")  # noqa: S608
            rows = [row[0] for row in cursor.fetchall()]
        assert rows, model
        shown += rows

    assert all(str(operator.pk) in text for text in shown[:4])
    assert not [text for text in shown if canary in text]


def test_it_serves_two_readers_only_what_was_valid_while_they_asked(
    listener: Listener, connector: ssl.SSLContext
) -> None:
    operator = make_operator(password="pass-1")
    # The operator's version at which a password became valid, and it.
    valid = {1: "pass-1"}
    is_over = threading.Event()
    answers: list[tuple[int, Answer]] = []

    def read() -> None:
        with closing(listener.connect(connector)) as caller:
            while not is_over.is_set():
                newest = max(valid)
                caller.request("GET", address(operator))
                answer = caller.getresponse()
                answers.append((newest, Answer(answer.status, json.loads(answer.read()), {}, 0)))

    def rotate() -> None:
        try:
            for number in range(2, 22):
                rotated = actions.update_operator(
                    actor=ALICE, operator_id=operator.pk, changes={}, password=Secret(f"pass-{number}")
                )
                valid[rotated.version] = f"pass-{number}"
        finally:
            is_over.set()
            connection.close()

    with ThreadPoolExecutor(3) as pool:
        for done in [pool.submit(read), pool.submit(read), pool.submit(rotate)]:
            done.result()

    assert len(valid) == 21
    assert len(answers) > 40
    for newest, answer in answers:
        assert answer.status == 200, answer
        # Exactly the password that this version of the row named, and never one that had been replaced before we asked.
        assert answer.body["password"] == valid[answer.body["version"]]
        assert answer.body["version"] >= newest
    assert len({answer.body["password"] for _, answer in answers}) > 10
    assert CredentialRead.objects.filter(result="ok").count() == len(answers)


@pytest.mark.parametrize("fault", ["sealed", "paused"])
def test_it_refuses_in_time_while_vault_is_away_and_heals_without_a_restart(
    fault: str,
    listener: Listener,
    authority: Authority,
    connector: ssl.SSLContext,
    openbao: OpenBao,
    staff_client: Client,
) -> None:
    operator = make_operator(password="zq7-K#x9")
    path = address(operator)
    router = listener.context(authority, authority.issue("router", uris=[ROUTER]))
    assert ask(listener, connector, path).status == 200
    (openbao.seal if fault == "sealed" else openbao.pause)()
    try:
        # More callers than the process has threads: whoever waits in line must hear in time as well.
        answers = [*ask_at_once(listener, connector, path, 40), *ask_at_once(listener, connector, path, 3)]
        for answer in answers:
            assert (answer.status, answer.body["code"]) == (503, "VAULT_UNAVAILABLE")
            assert int(answer.headers["Retry-After"]) >= 1
        assert max(answer.took for answer in answers) < LONGEST
        reads = CredentialRead.objects.filter(operator_id=operator.pk, result="vault_error")
        assert reads.count() == len(answers)
        # What needs no password goes on.
        assert ask(listener, router, "/v1/internal/operators").status == 200
        assert ask(listener, connector, "/health/live").took < 1
        assert staff_client.get(reverse("admin:operators_operator_changelist")).status_code == 200
        assert ask(listener, connector, f"/v1/internal/operators/{NOBODY}/credentials").status == 404
    finally:
        (openbao.unseal if fault == "sealed" else openbao.resume)()
        forget_clients()

    eventually(lambda: ask(listener, connector, path).status == 200)
