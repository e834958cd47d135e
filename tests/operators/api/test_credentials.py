"""GET /v1/internal/operators/{id}/credentials: the one password that the row names, written down before it leaves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from django.db import DatabaseError, connection
from django.test.utils import CaptureQueriesContext
from psycopg.pq import TransactionStatus
from pytest_django import Settings
from rest_framework.test import APIClient

from operators import actions, metrics, prepared
from operators.api import internal
from operators.models import CredentialRead, Operator, Status
from operators.secrets import Secret
from operators.vault import Role, forget_clients, vault
from tests.config.peers import InternalClient, connector, router
from tests.factories import ALICE, make_operator
from tests.operators.api.cast import NOBODY, refused
from tests.servers import CONNECTOR

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def fresh_start() -> Iterator[None]:
    """No circuit breaker and no spent tokens of an earlier test."""
    forget_clients()
    internal._buckets.cache_clear()
    yield
    forget_clients()


def address(operator_id: object) -> str:
    return f"/v1/internal/operators/{operator_id}/credentials"


def read(operator: Operator) -> Any:
    return connector().get(address(operator.pk))


def counted(result: str) -> float:
    return float(metrics.credentials_read.labels(result)._value.get())


def written_down() -> list[tuple[Any, ...]]:
    return list(
        CredentialRead.objects.order_by("id").values_list(
            "operator_id", "credential_version", "caller", "identity", "result"
        )
    )


def path_of(operator: Operator) -> str:
    return f"ops/operators/{operator.pk}/credentials"


def test_it_gives_exactly_what_a_bind_needs_and_lets_nobody_keep_it() -> None:
    backup = make_operator(name="Backup")
    operator = make_operator(password='p4ss"<', host="smpp.zain.example", system_id="zain_1", max_tps=7)
    actions.update_operator(actor=ALICE, operator_id=operator.pk, changes={"backup_operator_id": backup.pk})

    answer = read(operator)

    assert answer.status_code == 200
    assert answer.json() == {
        "operatorId": str(operator.pk),
        "host": "smpp.zain.example",
        "port": 2775,
        "systemId": "zain_1",
        "password": 'p4ss"<',
        "bindType": "TRANSCEIVER",
        "useTls": False,
        "tpsLimit": {"maxTps": 7, "burstMultiplier": 1.5, "enforcementMode": "HARD_REJECT"},
        "backupOperatorId": str(backup.pk),
        "version": 2,
    }
    assert answer["Cache-Control"] == "no-store"
    assert "ETag" not in answer
    assert answer["Content-Type"] == "application/json"


def test_it_counts_each_read_and_writes_down_who_made_it() -> None:
    operator = make_operator()
    actions.update_operator(actor=ALICE, operator_id=operator.pk, changes={}, password=Secret("second"))
    before = counted("ok")

    assert read(operator).status_code == 200

    assert counted("ok") == before + 1
    assert written_down() == [(operator.pk, 2, "smpp-connector", CONNECTOR, "ok")]


def test_it_needs_one_statement_for_the_row_and_one_for_the_trail_outside_any_transaction(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    operator = make_operator()
    read(operator)  # logs in to Vault
    sent: list[tuple[str, bool]] = []
    run = prepared.Session.run

    def note(session: prepared.Session, statement: str, values: prepared.Values, seconds: float) -> list[prepared.Row]:
        rows = run(session, statement, values, seconds)
        sent.append((statement.split()[0], session.connection.info.transaction_status == TransactionStatus.IDLE))
        return rows

    monkeypatch.setattr(prepared.Session, "run", note)
    with CaptureQueriesContext(connection) as others:
        read(operator)
    assert sent == [("SELECT", True), ("CALL", True)]
    assert len(others) == 0


@pytest.mark.parametrize("status", Status.values)
def test_it_serves_operators_of_every_status(status: str) -> None:
    operator = make_operator()
    Operator.objects.filter(pk=operator.pk).update(status=status)
    assert read(operator).json()["password"] == "s3cr3t-8"


def test_it_serves_the_version_that_the_row_names_and_not_the_newest() -> None:
    operator = make_operator(password="first")
    vault(Role.ADMIN).write(path_of(operator), {"system_id": "x", "password": Secret("unused")}, cas=1)
    assert read(operator).json()["password"] == "first"

    actions.update_operator(actor=ALICE, operator_id=operator.pk, changes={}, password=Secret("third"))
    assert read(operator).json()["password"] == "third"
    actions.revert_credential(actor=ALICE, operator_id=operator.pk)
    assert read(operator).json()["password"] == "first"


def test_it_says_the_same_of_what_is_deleted_and_what_never_was() -> None:
    operator = make_operator()
    actions.delete_operator(actor=ALICE, operator_id=operator.pk)
    unknown, before = uuid4(), counted("not_found")

    bodies = []
    for identity in (operator.pk, unknown):
        answer = connector().get(address(identity))
        assert refused(answer, status=404, code="NOT_FOUND") == "There is no such operator."
        bodies.append({name: value for name, value in answer.json().items() if name not in ("instance", "requestId")})

    assert bodies[0].keys() == bodies[1].keys()
    assert counted("not_found") == before + 2
    assert [(row[0], row[1], row[4]) for row in written_down()] == [
        (operator.pk, None, "not_found"),
        (unknown, None, "not_found"),
    ]


def test_it_tells_a_lost_password_from_an_operator_that_is_gone() -> None:
    """404 would have a connector forget an operator that is there; the fault is ours and ends with a new password."""
    operator = make_operator()
    before = counted("not_found")
    vault(Role.ADMIN).soft_delete(path_of(operator), [1])

    answer = read(operator)

    assert "staff have to set it anew" in refused(answer, status=503, code="VAULT_UNAVAILABLE")
    assert answer["Retry-After"] == "60"
    assert counted("not_found") == before + 1
    assert written_down() == [(operator.pk, 1, "smpp-connector", CONNECTOR, "not_found")]

    actions.update_operator(actor=ALICE, operator_id=operator.pk, changes={}, password=Secret("anew"))
    assert read(operator).json()["password"] == "anew"


def test_it_answers_404_when_the_operator_is_deleted_while_it_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    operator = make_operator()
    client = vault(Role.INTERNAL)
    ask = client.read

    def read_too_late(path: str, *, version: int) -> dict[str, Secret]:
        actions.delete_operator(actor=ALICE, operator_id=operator.pk)
        return ask(path, version=version)

    monkeypatch.setattr(client, "read", read_too_late)

    refused(read(operator), status=404, code="NOT_FOUND")
    assert [row[4] for row in written_down()] == ["not_found"]


def test_it_gives_no_password_away_that_it_could_not_write_down() -> None:
    operator = make_operator()
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {CredentialRead._meta.db_table} RENAME TO elsewhere")
    try:
        client = connector()
        with pytest.raises(DatabaseError):
            client.get(address(operator.pk))
        client.raise_request_exception = False
        answer = client.get(address(operator.pk))
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER TABLE elsewhere RENAME TO {CredentialRead._meta.db_table}")
    assert answer.status_code == 500
    assert b"s3cr3t-8" not in answer.content


def test_it_is_for_the_connector_alone() -> None:
    operator = make_operator()
    refused(router().get(address(operator.pk)), status=403, code="FORBIDDEN")
    refused(InternalClient().get(address(operator.pk)), status=401, code="UNAUTHENTICATED")
    assert written_down() == []


def test_it_does_not_exist_on_the_console_s_listener(api: APIClient) -> None:
    operator = make_operator()
    refused(api.get(address(operator.pk)), status=404, code="NOT_FOUND")
    refused(api.get(address(NOBODY)), status=404, code="NOT_FOUND")


def test_it_lets_each_caller_read_only_so_fast(settings: Settings) -> None:
    settings.CREDENTIALS_PER_SECOND, settings.CREDENTIALS_BURST = 1, 3
    operator = make_operator()

    answers = [read(operator) for _ in range(5)]

    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
    refused(answers[-1], status=429, code="RATE_LIMITED")
    assert int(answers[-1]["Retry-After"]) >= 1
    assert b"s3cr3t-8" not in answers[-1].content
    # Neither what was refused for its speed nor what others are refused is a read.
    refused(router().get(address(operator.pk)), status=403, code="FORBIDDEN")
    assert len(written_down()) == 3


def test_it_refuses_parameters_since_none_means_anything() -> None:
    refused(connector().get(f"{address(NOBODY)}?version=1"), status=400, code="INVALID_PAYLOAD")
