"""Vault sealed, stopped, silent, slow, or losing its answer: nothing half-made, an answer in time, healed alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django.fixtures import Settings
from rest_framework.test import APIClient

from deploy.dev.openbao import OpenBao
from operators import credentials
from operators.models import AuditEntry, CredentialAttempt, Operator, OutboxEvent
from operators.vault import Role, VaultClient, forget_clients, vault
from tests.factories import make_operator
from tests.proxy import Mode, Proxy

pytestmark = pytest.mark.django_db(transaction=True)

BODY: dict[str, Any] = {
    "name": "Zain",
    "host": "smpp.zain.example",
    "systemId": "zain_1",
    "tpsLimit": {"maxTps": 10},
    "password": "s3cr3t-8",
}
LONGEST_ANSWER = 8.0  # seconds: three calls with their deadlines, and a loaded machine


@pytest.fixture(autouse=True)
def fresh_clients() -> Iterator[None]:
    """No circuit breaker and no connection of an earlier test."""
    forget_clients()
    yield
    forget_clients()


@pytest.fixture
def proxy(settings: Settings) -> Iterator[Proxy]:
    with Proxy(settings.VAULT_ADDR) as running:
        settings.VAULT_ADDR = running.url
        settings.VAULT_CONNECT_TIMEOUT, settings.VAULT_READ_TIMEOUT = 0.5, 0.7
        forget_clients()
        yield running


def seal(openbao: OpenBao) -> Callable[[], object]:
    openbao.seal()
    return openbao.unseal


def stop(openbao: OpenBao) -> Callable[[], object]:
    openbao.stop()
    return openbao.start


def pause(openbao: OpenBao) -> Callable[[], object]:
    openbao.pause()
    return openbao.resume


def eventually(check: Callable[[], bool], *, within: float = 15.0) -> None:
    deadline = time.monotonic() + within
    while not check():
        assert time.monotonic() < deadline, "it did not heal"
        time.sleep(0.2)


@pytest.mark.parametrize("fault", [seal, stop, pause])
def test_it_refuses_what_needs_vault_and_serves_the_rest(
    fault: Callable[[OpenBao], Callable[[], object]], openbao: OpenBao, api: APIClient, staff_client: Client
) -> None:
    operator = make_operator()
    url = f"/v1/admin/operators/{operator.id}"
    heal = fault(openbao)
    try:
        for call, address, body in (
            (api.post, "/v1/admin/operators", BODY),
            (api.patch, url, {"password": "rotated"}),
        ):
            began = time.monotonic()
            answer = call(address, body, HTTP_IF_MATCH="*")
            assert time.monotonic() - began < LONGEST_ANSWER
            assert (answer.status_code, answer.json()["code"]) == (503, "VAULT_UNAVAILABLE")
            assert int(answer["Retry-After"]) >= 1
        # What needs no password goes on.
        assert api.get("/v1/admin/operators").status_code == 200
        assert api.patch(url, {"port": 3550}, HTTP_IF_MATCH='"1"').status_code == 200
        assert api.post(f"{url}/activate").status_code == 200
        assert staff_client.get(reverse("admin:operators_operator_changelist")).status_code == 200
    finally:
        heal()
    assert Operator.objects.count() == 1
    assert OutboxEvent.objects.count() == 3
    assert AuditEntry.objects.exclude(operator=None).count() == 3
    assert Operator.objects.get().credential_version == 1

    eventually(lambda: api.post("/v1/admin/operators", BODY).status_code == 201)
    assert Operator.objects.get(name="Zain").password.reveal() == BODY["password"]
    assert operator.password.reveal() == "s3cr3t-8"


def test_it_deletes_without_vault_and_hides_the_secret_later(openbao: OpenBao, api: APIClient) -> None:
    operator = make_operator()
    openbao.stop()
    try:
        assert api.delete(f"/v1/admin/operators/{operator.id}").status_code == 204
        restore = api.post(f"/v1/admin/operators/{operator.id}/restore")
        assert (restore.status_code, restore.json()["code"]) == (503, "VAULT_UNAVAILABLE")
    finally:
        openbao.start()
    assert Operator.objects.get().is_deleted


def lose_answers(monkeypatch: pytest.MonkeyPatch, proxy: Proxy, mode: Mode, *, times: int = 1) -> None:
    """Let the first writes of a secret reach Vault, and their answers nobody."""
    write, left = VaultClient.write, [times]

    def write_into_trouble(self: VaultClient, path: str, data: Any, *, cas: int) -> int:
        if left[0] == 0:
            return write(self, path, data, cas=cas)
        left[0] -= 1
        proxy.mode = mode
        try:
            return write(self, path, data, cas=cas)
        finally:
            proxy.mode = Mode.PASS

    monkeypatch.setattr(VaultClient, "write", write_into_trouble)


def versions(operator: Operator) -> list[int]:
    metadata = vault(Role.ADMIN).describe(f"ops/operators/{operator.id}/credentials")
    assert metadata is not None
    return sorted(metadata.versions)


def test_it_recognises_its_own_write_after_the_answer_was_lost(
    proxy: Proxy, api: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose_answers(monkeypatch, proxy, Mode.RESET_AFTER_REQUEST)

    created = api.post("/v1/admin/operators", BODY)

    assert created.status_code == 201, created.content
    operator = Operator.objects.get()
    assert versions(operator) == [1]
    assert operator.password.reveal() == BODY["password"]

    lose_answers(monkeypatch, proxy, Mode.RESET_AFTER_REQUEST)
    rotated = api.patch(f"/v1/admin/operators/{operator.id}", {"password": "second"}, HTTP_IF_MATCH='"1"')

    assert rotated.status_code == 200, rotated.content
    operator = Operator.objects.get()
    assert versions(operator) == [1, 2]
    assert (operator.credential_version, operator.password.reveal()) == (2, "second")
    assert not CredentialAttempt.objects.exists()


def test_it_writes_again_when_the_request_itself_was_lost(
    proxy: Proxy, api: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose_answers(monkeypatch, proxy, Mode.BLACKHOLE)

    created = api.post("/v1/admin/operators", BODY)

    assert created.status_code == 201, created.content
    assert versions(Operator.objects.get()) == [1]


def test_it_does_not_take_an_abandoned_write_for_its_own(
    proxy: Proxy, api: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The earlier attempt's write arrives just when the answer of ours is lost: only a version on top is certain."""
    operator = make_operator(password="first")
    CredentialAttempt.objects.create(
        operator_id=operator.id,
        base_version=1,
        actor="died",
        started_at=operator.created_at - 2 * credentials.LEASE,
    )
    lose_answers(monkeypatch, proxy, Mode.RESET_AFTER_REQUEST)

    rotated = api.patch(f"/v1/admin/operators/{operator.id}", {"password": "ours"}, HTTP_IF_MATCH='"1"')

    assert rotated.status_code == 200, rotated.content
    stored = Operator.objects.get()
    assert stored.credential_version == 3
    assert stored.password.reveal() == "ours"


def test_it_leaves_an_unknown_outcome_to_the_reconciler_and_nobody_is_served_it(
    proxy: Proxy, api: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    operator = make_operator(password="first")

    def write_then_silence(self: VaultClient, path: str, data: Any, *, cas: int) -> int:
        proxy.mode = Mode.RESET_AFTER_REQUEST
        return write(self, path, data, cas=cas)

    write = VaultClient.write
    with monkeypatch.context() as patch:
        patch.setattr(VaultClient, "write", write_then_silence)
        answer = api.patch(f"/v1/admin/operators/{operator.id}", {"password": "lost"}, HTTP_IF_MATCH='"1"')
    proxy.mode = Mode.PASS
    forget_clients()

    assert (answer.status_code, answer.json()["code"]) == (503, "VAULT_UNAVAILABLE")
    assert Operator.objects.get().password.reveal() == "first"
    assert CredentialAttempt.objects.filter(operator_id=operator.id).exists()
    again = api.patch(f"/v1/admin/operators/{operator.id}", {"password": "lost"}, HTTP_IF_MATCH='"1"')
    assert again.status_code == 412
    CredentialAttempt.objects.update(started_at=operator.created_at - 2 * credentials.LEASE)
    settled = api.patch(f"/v1/admin/operators/{operator.id}", {"password": "third"}, HTTP_IF_MATCH='"1"')
    assert settled.status_code == 200, settled.content
    assert Operator.objects.get().password.reveal() == "third"


def test_it_waits_for_a_slow_vault_within_its_deadline(proxy: Proxy, api: APIClient) -> None:
    proxy.mode, proxy.delay = Mode.DELAY, 0.3
    assert api.post("/v1/admin/operators", BODY).status_code == 201

    proxy.delay = 3
    began = time.monotonic()
    answer = api.post("/v1/admin/operators", BODY | {"name": "Slow", "systemId": "slow"})
    assert time.monotonic() - began < LONGEST_ANSWER
    assert answer.status_code == 503
    assert Operator.objects.count() == 1


def test_it_shows_staff_what_was_not_saved(openbao: OpenBao, staff_client: Client) -> None:
    openbao.seal()
    try:
        page = staff_client.post(
            reverse("admin:operators_operator_add"),
            {
                "name": "Zain",
                "host": "smpp.zain.example",
                "port": 2775,
                "system_id": "zain",
                "bind_type": "TRANSCEIVER",
                "max_tps": 5,
                "burst_multiplier": "1.50",
                "enforcement_mode": "HARD_REJECT",
                "password": "s3cr3t-8",
            },
        )
    finally:
        openbao.unseal()
    assert page.status_code == 503
    assert int(page["Retry-After"]) >= 1
    assert b"smpp.zain.example" in page.content
    assert not Operator.objects.exists()
