"""A deleted operator is gone for readers, and comes back as it was."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from rest_framework.test import APIClient

from operators import actions
from operators.models import Operator
from operators.secrets import Secret
from operators.vault import Role, SecretMissing, vault
from tests.factories import ALICE, make_operator
from tests.streams import Message

pytestmark = pytest.mark.django_db(transaction=True)


def path(operator: Operator) -> str:
    return f"ops/operators/{operator.id}/credentials"


def test_it_is_gone_for_readers_and_kept_for_a_restore(
    api: APIClient, drain: Callable[[], None], messages: Callable[..., list[Message]]
) -> None:
    operator = make_operator(password="first")
    actions.update_operator(actor=ALICE, operator_id=operator.id, changes={}, password=Secret("second"))
    actions.activate_operator(actor=ALICE, operator_id=operator.id)
    url = f"/v1/admin/operators/{operator.id}"

    assert api.delete(url).status_code == 204

    for method, address in [
        ("get", url),
        ("delete", url),
        ("post", f"{url}/activate"),
        ("get", f"{url}/tps-limit"),
    ]:
        assert getattr(api, method)(address).status_code == 404, address
    assert api.patch(url, {"port": 1}, HTTP_IF_MATCH="*").status_code == 404
    assert api.get("/v1/admin/operators").json()["meta"]["total"] == 0
    stored = Operator.objects.get(pk=operator.pk)
    assert (stored.status, stored.version, stored.is_deleted) == ("INACTIVE", 4, True)
    with pytest.raises(SecretMissing):
        vault(Role.INTERNAL).read(path(operator), version=2)

    restored = api.post(f"{url}/restore")

    assert restored.status_code == 200
    assert restored.json()["status"] == "INACTIVE"
    assert Operator.objects.get(pk=operator.pk).password.reveal() == "second"
    back = actions.revert_credential(actor=ALICE, operator_id=operator.id)
    assert back.password.reveal() == "first"
    drain()
    told = [(message.subject.rsplit(".", 1)[-1], message.body["version"]) for message in messages()]
    assert told == [
        ("created", 1),
        ("updated", 2),
        ("updated", 3),
        ("deleted", 4),
        ("updated", 5),
        ("updated", 6),
    ]


def test_it_refuses_a_restore_that_collides_and_names_the_other(api: APIClient) -> None:
    operator = make_operator(name="Zain", host="smpp.zain.example", system_id="zain")
    api.delete(f"/v1/admin/operators/{operator.id}")
    successor = make_operator(name="Zain new", host="smpp.zain.example", system_id="zain")

    answer = api.post(f"/v1/admin/operators/{operator.id}/restore")

    assert answer.status_code == 409
    assert answer.json()["conflict"]["operatorId"] == str(successor.id)
    assert Operator.objects.get(pk=operator.pk).is_deleted


def test_it_does_not_restore_what_is_not_deleted(api: APIClient) -> None:
    answer = api.post(f"/v1/admin/operators/{make_operator().id}/restore")

    assert (answer.status_code, answer.json()["code"]) == (409, "INVALID_STATUS_TRANSITION")


def test_it_does_not_restore_without_the_password(api: APIClient) -> None:
    operator = make_operator()
    api.delete(f"/v1/admin/operators/{operator.id}")
    vault(Role.RECONCILER).destroy(path(operator), [1])

    answer = api.post(f"/v1/admin/operators/{operator.id}/restore")

    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == "password"
    assert Operator.objects.get(pk=operator.pk).is_deleted
