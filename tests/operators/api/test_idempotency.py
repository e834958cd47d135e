"""Idempotency-Key on POST /operators."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from threading import Event, Thread
from typing import Any

import psycopg
import pytest
from django.db import OperationalError, connection
from django.utils import timezone
from pytest_django.fixtures import Settings
from rest_framework.test import APIClient

from operators import actions, idempotency
from operators.errors import VaultUnavailable
from operators.models import CredentialAttempt, IdempotencyRecord, Operator, OutboxEvent
from operators.vault import OutcomeUnknown
from tests.factories import PASSWORD
from tests.operators.api.cast import OPERATORS, SMALLEST, errors, refused

pytestmark = pytest.mark.django_db(transaction=True)

KEY = "4711-create-comium"


def create(api: APIClient, *, key: str = KEY, **changes: Any) -> Any:
    return api.post(OPERATORS, {**SMALLEST, **changes}, HTTP_IDEMPOTENCY_KEY=key)


def test_it_creates_once_and_answers_twice(api: APIClient) -> None:
    first, second = create(api), create(api)

    assert (first.status_code, second.status_code) == (201, 201)
    assert second.json() == first.json()
    assert (second["ETag"], second["Location"]) == (first["ETag"], first["Location"])
    assert "Idempotent-Replayed" not in first
    assert second["Idempotent-Replayed"] == "true"
    assert Operator.objects.count() == OutboxEvent.objects.count() == 1


def test_it_repeats_the_first_answer_even_after_later_changes(api: APIClient) -> None:
    first = create(api, password="longer-than-8")
    api.patch(first["Location"], {"port": 1}, HTTP_IF_MATCH="*")
    api.delete(first["Location"])
    again = create(api, password="longer-than-8")
    assert (again.status_code, again.json(), again["ETag"]) == (201, first.json(), '"1"')
    assert len(again.json()["warnings"]) == 1


def test_it_takes_the_same_body_however_it_is_written(api: APIClient) -> None:
    first = create(api)
    reordered = dict(reversed(SMALLEST.items()))
    assert api.post(OPERATORS, reordered, HTTP_IDEMPOTENCY_KEY=KEY).json() == first.json()


@pytest.mark.parametrize("changes", [{"port": 2776}, {"password": "other"}, {"notes": ""}])
def test_it_refuses_a_key_that_stands_for_another_body(api: APIClient, changes: dict[str, Any]) -> None:
    create(api)
    assert errors(create(api, **changes)) == {"Idempotency-Key": "This key was used for another request."}
    assert Operator.objects.count() == 1


def test_it_keeps_the_keys_of_different_callers_apart(api: APIClient, token: Callable[..., str]) -> None:
    create(api)
    other = APIClient()
    other.credentials(HTTP_AUTHORIZATION=f"Bearer {token(sub='carol')}")
    assert create(other, name="Other", systemId="other").status_code == 201
    assert create(other, name="Other", systemId="other")["Idempotent-Replayed"] == "true"


@pytest.mark.parametrize("key", ["", "x" * 256, "tab\there", "é"])
def test_it_refuses_keys_that_are_none(api: APIClient, key: str) -> None:
    assert set(errors(create(api, key=key))) == {"Idempotency-Key"}


def test_it_keeps_no_password_and_nothing_to_guess_it_from(api: APIClient, settings: Settings) -> None:
    create(api)
    record = IdempotencyRecord.objects.get()
    assert PASSWORD not in str(record.response)
    assert record.fingerprint == idempotency.fingerprint(method="POST", path=OPERATORS, body=SMALLEST)
    settings.SECRET_KEY = "another-" + settings.SECRET_KEY
    assert record.fingerprint != idempotency.fingerprint(method="POST", path=OPERATORS, body=SMALLEST)


@pytest.mark.parametrize(
    ("changes", "status"), [({"port": 0}, 400), ({"password": "x" * 65}, 400), ({"name": "Taken"}, 409)]
)
def test_it_frees_the_key_when_it_refuses(api: APIClient, changes: dict[str, Any], status: int) -> None:
    create(api, key="another", name="Taken", systemId="taken")
    assert create(api, **changes).status_code == status
    assert not IdempotencyRecord.objects.filter(key=KEY).exists()
    assert create(api).status_code == 201


def test_it_frees_the_key_when_vault_surely_took_nothing(api: APIClient, monkeypatch: pytest.MonkeyPatch) -> None:
    with failing(monkeypatch, VaultUnavailable()):
        answer = create(api)
    refused(answer, status=503, code="VAULT_UNAVAILABLE")
    assert answer["Retry-After"] == "5"
    assert create(api, port=2776).status_code == 201


@pytest.mark.parametrize("error", [OutcomeUnknown(), OperationalError("gone")])
def test_it_carries_on_with_the_same_operator_after_an_unknown_outcome(
    api: APIClient, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    with failing(monkeypatch, error):
        assert create(api).status_code == 503
    chosen = IdempotencyRecord.objects.get().operator_id
    answer = create(api)
    assert answer.status_code == 201
    assert answer.json()["operatorId"] == str(chosen)


def test_it_carries_on_after_a_crash_between_the_row_and_the_answer(api: APIClient) -> None:
    first = create(api)
    IdempotencyRecord.objects.update(response=None)
    again = create(api)
    assert (again.status_code, again["Idempotent-Replayed"]) == (201, "true")
    assert again.json() == first.json()
    assert Operator.objects.count() == 1


def test_it_carries_on_after_a_crash_in_the_middle_of_the_vault_write(api: APIClient) -> None:
    digest = idempotency.fingerprint(method="POST", path=OPERATORS, body=SMALLEST)
    now = timezone.now()
    record = IdempotencyRecord.objects.create(actor="bob", key=KEY, fingerprint=digest, created_at=now)
    CredentialAttempt.objects.create(operator_id=record.operator_id, base_version=0, actor="bob", started_at=now)

    waiting = create(api)
    refused(waiting, status=409, code="DUPLICATE_OPERATOR")
    assert waiting["Retry-After"] == "2"

    CredentialAttempt.objects.update(started_at=now - timedelta(minutes=1))
    answer = create(api)
    assert answer.status_code == 201
    assert answer.json()["operatorId"] == str(record.operator_id)
    assert Operator.objects.get().password.reveal() == PASSWORD


def test_it_turns_away_a_second_request_while_the_first_one_works(
    api: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    began, may_end = Event(), Event()
    real = actions.create_operator

    def slow(**options: Any) -> Operator:
        began.set()
        assert may_end.wait(30)
        return real(**options)

    monkeypatch.setattr(actions, "create_operator", slow)
    answers: list[Any] = []

    def first() -> None:
        answers.append(create(api))
        connection.close()

    worker = Thread(target=first)
    worker.start()
    assert began.wait(30)
    second = create(api)
    may_end.set()
    worker.join()

    refused(second, status=409, code="DUPLICATE_OPERATOR")
    assert second["Retry-After"] == "2"
    assert answers[0].status_code == 201
    assert create(api).json() == answers[0].json()


def test_it_gives_the_key_free_when_the_worker_dies(api: APIClient) -> None:
    create(api)
    record = IdempotencyRecord.objects.get()
    IdempotencyRecord.objects.update(response=None)
    settings = connection.settings_dict
    other = psycopg.connect(
        host=settings["HOST"], port=settings["PORT"], user=settings["USER"], password=settings["PASSWORD"] or None,
        dbname=settings["NAME"], autocommit=True,
    )  # fmt: skip
    other.execute("SELECT pg_advisory_lock(%s)", [idempotency.LOCK_BASE + record.pk])
    assert create(api).status_code == 409
    other.close()
    assert create(api).status_code == 201


def test_it_holds_no_lock_when_it_has_answered(api: APIClient, monkeypatch: pytest.MonkeyPatch) -> None:
    create(api)
    with failing(monkeypatch, VaultUnavailable()):
        create(api, key="another", name="B", systemId="b")
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")
        assert cursor.fetchone() == (0,)


def test_it_survives_losing_the_connection_that_held_the_lock(api: APIClient, monkeypatch: pytest.MonkeyPatch) -> None:
    real = actions.create_operator

    def cut_off(**options: Any) -> Operator:
        operator = real(**options)
        with connection.cursor() as cursor, pytest.raises(OperationalError):
            cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        return operator

    with monkeypatch.context() as patch:
        patch.setattr(actions, "create_operator", cut_off)
        refused(create(api), status=503, code="DATABASE_UNAVAILABLE")
    again = create(api)
    assert (again.status_code, again["Idempotent-Replayed"]) == (201, "true")
    assert Operator.objects.count() == 1


def test_it_forgets_a_key_after_its_time(api: APIClient) -> None:
    create(api)
    IdempotencyRecord.objects.update(created_at=timezone.now() - timedelta(hours=23))
    assert create(api)["Idempotent-Replayed"] == "true"
    IdempotencyRecord.objects.update(created_at=timezone.now() - timedelta(hours=25))
    assert create(api, name="Next", systemId="next").status_code == 201


@contextmanager
def failing(monkeypatch: pytest.MonkeyPatch, error: Exception) -> Iterator[None]:
    """Let the action fail as it does when a store is away."""

    def fail(**options: Any) -> Operator:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(actions, "create_operator", fail)
        yield
