"""One bind and one name belong to one operator, also when two ask at the same moment."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from rest_framework.test import APIClient

from operators.models import CredentialAttempt, Operator, OutboxEvent
from operators.vault import Role, vault
from tests.together import at_once, client

pytestmark = pytest.mark.django_db(transaction=True)

BODY: dict[str, Any] = {
    "name": "Zain",
    "host": "smpp.zain.example",
    "systemId": "zain_1",
    "tpsLimit": {"maxTps": 10},
    "password": "s3cr3t-8",
}


@pytest.mark.parametrize("other", [{"name": "Zain 2"}, {"host": "other.example"}], ids=["same bind", "same name"])
@pytest.mark.parametrize("repetition", range(3))
def test_it_lets_one_of_two_creations_at_once_win(
    token: Callable[..., str], other: dict[str, str], repetition: int
) -> None:
    bodies = [BODY, BODY | other]

    answers = at_once([partial(client(token).post, "/v1/admin/operators", body) for body in bodies])

    assert sorted(answer.status_code for answer in answers) == [201, 409]
    loser = next(answer for answer in answers if answer.status_code == 409)
    winner = Operator.objects.get()
    assert loser.json()["code"] == "DUPLICATE_OPERATOR"
    assert loser.json()["conflict"]["operatorId"] == str(winner.pk)
    assert OutboxEvent.objects.count() == 1
    assert not CredentialAttempt.objects.exists()


def test_it_leaves_no_readable_secret_of_the_losers(token: Callable[..., str]) -> None:
    before = set(vault(Role.RECONCILER).list_keys("ops/operators"))

    at_once([lambda: client(token).post("/v1/admin/operators", BODY) for _ in range(4)])

    readable = set()
    for entry in set(vault(Role.RECONCILER).list_keys("ops/operators")) - before:
        metadata = vault(Role.RECONCILER).describe(f"ops/operators/{entry.rstrip('/')}/credentials")
        if metadata and any(not state.is_deleted for state in metadata.versions.values()):
            readable.add(entry.rstrip("/"))
    assert readable == {str(Operator.objects.get().pk)}


def test_it_frees_bind_and_name_when_an_operator_is_deleted(api: APIClient) -> None:
    first = api.post("/v1/admin/operators", BODY).json()
    api.delete(f"/v1/admin/operators/{first['operatorId']}")

    again = api.post("/v1/admin/operators", BODY)

    assert again.status_code == 201
    assert again.json()["operatorId"] != first["operatorId"]


def test_it_lets_one_of_many_rotations_at_once_win_per_version(token: Callable[..., str], api: APIClient) -> None:
    created = api.post("/v1/admin/operators", BODY).json()
    url = f"/v1/admin/operators/{created['operatorId']}"

    def rotate(number: int) -> Any:
        return client(token).patch(url, {"password": f"turn-{number:02}"}, HTTP_IF_MATCH='"1"')

    answers = at_once([partial(rotate, number) for number in range(10)])

    statuses = sorted(answer.status_code for answer in answers)
    assert statuses == [200] + [412] * 9
    operator = Operator.objects.get()
    winner = next(number for number, answer in enumerate(answers) if answer.status_code == 200)
    assert operator.version == 2
    assert operator.password.reveal() == f"turn-{winner:02}"
    assert OutboxEvent.objects.filter(subject="operator.config.updated").count() == 1
