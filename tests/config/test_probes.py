from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from config import probes
from config.readiness import BOUND, FRESH, Readiness, readiness
from operators.errors import VaultUnavailable
from operators.models import OutboxEvent
from operators.vault import Role, vault

if TYPE_CHECKING:
    from deploy.dev.nats import Nats
    from deploy.dev.openbao import OpenBao


@pytest.fixture(autouse=True)
def forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask anew in each test, whatever the one before was told."""
    monkeypatch.setattr(probes, "readiness", Readiness(readiness.checks))


@pytest.fixture
def sealed(openbao: OpenBao) -> Iterator[None]:
    openbao.seal()
    yield
    openbao.unseal()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            vault(Role.ADMIN).check()
        except VaultUnavailable:
            time.sleep(0.2)
        else:
            return


def event(**overrides: object) -> OutboxEvent:
    return OutboxEvent.objects.create(
        **{
            "operator_id": uuid4(),
            "version": 1,
            "subject": "operator.config.created",
            "payload": {},
            "created_at": timezone.now(),
            **overrides,
        }
    )


def families(page: str) -> dict[str, float]:
    return {
        line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in page.splitlines() if line and line[0] != "#"
    }


@pytest.mark.django_db(transaction=True)
def test_it_is_ready_when_all_four_answer() -> None:
    response = Client().get("/health/ready")
    assert response.status_code == 200
    assert response.json() == {
        "status": "ok",
        "checks": {name: {"ok": True, "reason": ""} for name in ("database", "migrations", "vault", "nats")},
    }


def test_it_is_alive_without_any_store(postgres_away: Callable[[], None]) -> None:
    response = Client().get("/health/live")
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


def test_it_names_a_database_that_is_away_and_heals(
    postgres_away: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    client = Client()
    response = client.get("/health/ready")
    checks = response.json()["checks"]
    assert response.status_code == 503
    assert checks["database"] == {"ok": False, "reason": "PostgreSQL: no connection"}
    assert not checks["migrations"]["ok"]
    assert checks["vault"]["ok"] and checks["nats"]["ok"]
    postgres_away()
    monkeypatch.setattr(probes, "readiness", Readiness(readiness.checks))
    assert client.get("/health/ready").status_code == 200


@pytest.mark.django_db(transaction=True)
def test_it_names_a_migration_that_is_missing() -> None:
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'operators' AND name LIKE '0001%'")
        try:
            response = Client().get("/health/ready")
        finally:
            cursor.execute(
                "INSERT INTO django_migrations (app, name, applied) VALUES ('operators', '0001_initial', now())"
            )
    assert response.status_code == 503
    assert response.json()["checks"]["migrations"]["reason"] == "1 not applied, first operators.0001_initial"


@pytest.mark.django_db(transaction=True)
def test_it_names_a_sealed_vault(sealed: None) -> None:
    response = Client().get("/health/ready")
    checks = response.json()["checks"]
    assert response.status_code == 503
    assert checks["vault"]["reason"] and checks["database"]["ok"] and checks["nats"]["ok"]


@pytest.mark.django_db(transaction=True)
def test_it_names_a_broker_that_hangs_within_the_bound(nats_server: Nats) -> None:
    nats_server.pause()
    try:
        started = time.monotonic()
        response = Client().get("/health/ready")
        took = time.monotonic() - started
    finally:
        nats_server.resume()
    assert response.status_code == 503
    assert response.json()["checks"]["nats"]["reason"] == "NATS does not answer within 1 s"
    assert took < BOUND + 0.5


@pytest.mark.django_db(transaction=True)
def test_it_can_leave_a_check_out_of_the_verdict(nats_server: Nats) -> None:
    nats_server.stop()
    try:
        response = Client().get("/health/ready?exclude=nats")
    finally:
        nats_server.start()
    assert response.status_code == 200
    assert not response.json()["checks"]["nats"]["ok"]


def test_it_gives_one_answer_to_a_storm_of_probes() -> None:
    asked: list[float] = []

    def check() -> str:
        asked.append(time.monotonic())
        return ""

    watched = Readiness({"store": check})
    threads = [threading.Thread(target=watched.reasons) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(asked) == 1
    watched._answered_at -= FRESH
    watched.reasons()
    assert len(asked) == 2


def test_it_does_not_wait_for_a_store_that_hangs_nor_ask_it_twice() -> None:
    release, asked = threading.Event(), []

    def hang() -> str:
        asked.append(1)
        release.wait()
        return ""

    watched = Readiness({"hung": hang, "fine": str})
    started = time.monotonic()
    assert watched.reasons() == {"hung": "no answer within 2.5 s", "fine": ""}
    assert time.monotonic() - started < BOUND + 0.5
    watched._answered_at -= FRESH
    watched.reasons()
    assert len(asked) == 1
    release.set()
    watched._answered_at -= FRESH
    assert watched.reasons()["hung"] == ""


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/metrics"])
def test_it_answers_probes_for_any_host_without_session_or_redirect(path: str, settings: Settings) -> None:
    settings.SECURE_SSL_REDIRECT = True
    client = Client(headers={"host": "10.1.2.3:3020"})
    response = client.get(path)
    assert response.status_code == 200
    assert not response.cookies
    head = client.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert client.post(path).status_code == 405


@pytest.mark.django_db(transaction=True)
def test_it_shows_every_family_and_the_backlog() -> None:
    event(created_at=timezone.now() - timedelta(seconds=90))
    event()
    event(parked_at=timezone.now())
    event(published_at=timezone.now())
    shown = families(Client().get("/metrics").content.decode())
    assert shown["ops_outbox_pending"] == 2
    assert 90 <= shown["ops_outbox_oldest_age_seconds"] < 120
    assert shown["ops_outbox_parked"] == 1
    for name in (
        'ops_operator_create_total{result="ok"}',
        'ops_operator_update_total{result="conflict"}',
        'ops_operator_delete_total{result="ok"}',
        'ops_credentials_read_total{result="vault_error"}',
        'ops_vault_auth_total{result="error"}',
        'ops_nats_publish_total{event="created",result="error"}',
        'ops_pg_errors_total{op="connect"}',
        "ops_vault_read_duration_seconds_count",
        "ops_vault_write_duration_seconds_count",
    ):
        assert name in shown


@pytest.mark.django_db(transaction=True)
def test_it_reads_the_backlog_from_partial_indexes() -> None:
    from operators.backlog import BACKLOG

    with connection.cursor() as cursor:
        cursor.execute("SET enable_seqscan = off")
        try:
            cursor.execute("EXPLAIN " + BACKLOG.format(table=OutboxEvent._meta.db_table))
            plan = "\n".join(row[0] for row in cursor.fetchall())
        finally:
            cursor.execute("RESET enable_seqscan")
    assert "Seq Scan" not in plan
    assert "outbox_pending_by_age" in plan and "outbox_parked" in plan


def test_it_shows_metrics_while_the_database_is_away(postgres_away: Callable[[], None]) -> None:
    before = families(Client().get("/metrics").content.decode())
    response = Client().get("/metrics")
    shown = families(response.content.decode())
    assert response.status_code == 200
    assert "ops_outbox_pending" not in shown
    assert shown['ops_pg_errors_total{op="connect"}'] > 0
    assert shown['ops_pg_errors_total{op="connect"}'] >= before['ops_pg_errors_total{op="connect"}']


@pytest.mark.django_db(transaction=True)
def test_it_tells_no_secret() -> None:
    password = str(connection.settings_dict["PASSWORD"])
    assert len(password) > 8
    for path in ("/health/live", "/health/ready", "/metrics"):
        assert password not in Client().get(path).content.decode()
