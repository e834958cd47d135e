from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client

from deploy.dev.openbao import OpenBao
from operators import actions
from operators.actors import Actor
from operators.models import AuditEntry, Operator, OutboxEvent
from operators.secrets import Secret
from tests.factories import make_operator
from tests.operators.console import LIST, page

pytestmark = pytest.mark.django_db

CANARY = "Qx9canry"


def confirm(client: Client, move: str, operator: Operator, **form: Any) -> Any:
    data = {"expected_version": operator.version, "reason": ""} | form
    return client.post(page(move, operator), data)


def offered(client: Client, operator: Operator) -> list[str]:
    html = client.get(page("change", operator)).content.decode()
    return re.findall(r'<a class="move [^>]*>([^<]+)</a>', html)


def test_it_offers_exactly_the_moves_that_are_possible_now(staff_client: Client, actor: Actor) -> None:
    operator = make_operator()
    assert offered(staff_client, operator) == ["Activate", "Rotate password", "Delete"]

    actions.activate_operator(actor=actor, operator_id=operator.pk)
    assert offered(staff_client, operator) == ["Suspend", "Deactivate", "Rotate password", "Delete"]

    actions.update_operator(actor=actor, operator_id=operator.pk, changes={}, password=Secret("n3w"))
    actions.suspend_operator(actor=actor, operator_id=operator.pk)
    assert offered(staff_client, operator) == [
        "Activate",
        "Deactivate",
        "Rotate password",
        "Previous password",
        "Delete",
    ]

    actions.delete_operator(actor=actor, operator_id=operator.pk)
    assert offered(staff_client, operator) == ["Restore"]


def test_it_activates_after_a_confirmation_with_a_reason(staff_client: Client) -> None:
    operator = make_operator()
    assert "may be routed" in staff_client.get(page("activate", operator)).content.decode()

    response = confirm(staff_client, "activate", operator, reason="OPS-214")

    assert response["Location"] == page("change", operator)
    operator.refresh_from_db()
    assert operator.status == "ACTIVE"
    entry = AuditEntry.objects.get(action="activate")
    assert (entry.actor, entry.source, entry.reason) == ("root-of-tests", "console", "OPS-214")


def test_it_changes_nothing_by_looking(staff_client: Client) -> None:
    operator = make_operator()

    for move in ("activate", "rotate", "delete"):
        assert staff_client.get(page(move, operator)).status_code == 200

    operator.refresh_from_db()
    assert (operator.version, operator.deleted_at) == (1, None)


def test_it_refuses_a_move_without_the_token_against_forgery() -> None:
    from django.contrib.auth import get_user_model

    operator = make_operator()
    client = Client(enforce_csrf_checks=True)
    client.force_login(get_user_model().objects.create_superuser("eve"))

    assert confirm(client, "delete", operator).status_code == 403
    operator.refresh_from_db()
    assert operator.deleted_at is None


def test_it_sends_back_who_asks_for_an_impossible_move(staff_client: Client) -> None:
    operator = make_operator()

    response = staff_client.get(page("suspend", operator), follow=True)

    assert "not possible now" in response.content.decode()


def test_it_refuses_an_impossible_move(staff_client: Client) -> None:
    operator = make_operator()

    response = confirm(staff_client, "suspend", operator)

    assert response.status_code == 409
    assert "INACTIVE cannot become SUSPENDED" in response.content.decode()


def test_it_shows_what_changed_before_a_move_is_made_on_it(staff_client: Client, actor: Actor) -> None:
    seen = make_operator(host="old.example")
    actions.update_operator(actor=actor, operator_id=seen.pk, changes={"host": "new.example"}, reason="CHG-9")

    refused = confirm(staff_client, "delete", seen)

    assert refused.status_code == 412
    html = refused.content.decode()
    assert "CHG-9" in html and "old.example" in html and "new.example" in html
    again = {"expected_version": refused.context["form"]["expected_version"].value(), "reason": ""}
    assert staff_client.post(page("delete", seen), again).status_code == 302


def test_it_rotates_a_password_on_a_page_of_its_own(staff_client: Client) -> None:
    operator = make_operator()

    response = confirm(staff_client, "rotate", operator, password=CANARY, reason="Yearly")

    assert response.status_code == 302
    operator.refresh_from_db()
    assert operator.credential_version == 2
    assert operator.password.reveal() == CANARY
    assert AuditEntry.objects.get(action="rotate_credential").changes == {"credentials": [1, 2]}


def test_it_warns_of_a_long_password_at_a_rotation(staff_client: Client) -> None:
    operator = make_operator()

    confirm(staff_client, "rotate", operator, password="nine-char")

    html = staff_client.get(page("change", operator)).content.decode()
    assert "longer than the 8 characters" in html
    assert "nine-char" not in html


@pytest.mark.parametrize("password", ["", "x" * 65, "pässword"])
def test_it_refuses_a_wrong_new_password_without_repeating_it(staff_client: Client, password: str) -> None:
    operator = make_operator()

    response = confirm(staff_client, "rotate", operator, password=password)

    assert "password" in response.context["form"].errors
    assert not password or password not in response.content.decode()
    operator.refresh_from_db()
    assert operator.credential_version == 1


def test_it_keeps_the_password_out_of_a_refused_rotation(staff_client: Client, actor: Actor, openbao: OpenBao) -> None:
    operator = make_operator()
    openbao.seal()
    try:
        response = confirm(staff_client, "rotate", operator, password=CANARY)
    finally:
        openbao.unseal()
    assert response.status_code == 503
    assert response["Retry-After"]
    assert CANARY not in response.content.decode()

    actions.activate_operator(actor=actor, operator_id=operator.pk)
    stale = confirm(staff_client, "rotate", operator, password=CANARY)
    assert stale.status_code == 412
    assert CANARY not in stale.content.decode()


def test_it_goes_back_to_the_previous_password(staff_client: Client, actor: Actor) -> None:
    operator = make_operator(password="first")
    operator = actions.update_operator(actor=actor, operator_id=operator.pk, changes={}, password=Secret("second"))
    page_shown = staff_client.get(page("revert", operator)).content.decode()
    assert "Version <b>1</b> becomes valid instead of version <b>2</b>" in page_shown

    confirm(staff_client, "revert", operator)

    operator.refresh_from_db()
    assert (operator.credential_version, operator.credential_previous_version) == (1, 2)
    assert operator.password.reveal() == "first"


def test_it_says_before_a_deletion_who_loses_a_backup(staff_client: Client) -> None:
    operator = make_operator(name="Backup")
    make_operator(name="Follower", backup_operator_id=operator.pk)

    html = staff_client.get(page("delete", operator)).content.decode()

    assert "1 operator names it as backup" in html and "Follower" in html


def test_it_deletes_softly_and_restores(staff_client: Client) -> None:
    operator = make_operator()

    confirm(staff_client, "delete", operator, reason="Contract ended")

    operator.refresh_from_db()
    assert operator.is_deleted
    html = staff_client.get(page("change", operator)).content.decode()
    assert "This operator was deleted" in html
    assert 'name="_save"' not in html and 'type="password"' not in html
    assert staff_client.post(page("change", operator), {}).status_code == 403

    confirm(staff_client, "restore", operator)

    operator.refresh_from_db()
    assert (operator.deleted_at, operator.status) == (None, "INACTIVE")


def test_it_names_the_operator_that_stands_in_the_way_of_a_restore(staff_client: Client, actor: Actor) -> None:
    operator = make_operator(name="Comium")
    operator = actions.delete_operator(actor=actor, operator_id=operator.pk)
    newer = make_operator(name="comium")

    response = confirm(staff_client, "restore", operator)

    assert response.status_code == 409
    assert page("change", newer) in response.content.decode()
    operator.refresh_from_db()
    assert operator.is_deleted


def bulk(client: Client, action: str, operators: list[Operator], **extra: str) -> Any:
    data = {"action": action, "_selected_action": [str(operator.pk) for operator in operators], **extra}
    return client.post(LIST, data)


def test_it_asks_before_a_bulk_move_and_says_whom_it_leaves_alone(staff_client: Client, actor: Actor) -> None:
    inactive, active = make_operator(name="Inactive one"), make_operator(name="Active one")
    actions.activate_operator(actor=actor, operator_id=active.pk)

    html = bulk(staff_client, "activate_selected", [inactive, active], index="0").content.decode()

    assert "Activate 1 operator" in html
    assert "Active one (active)" in html
    inactive.refresh_from_db()
    assert inactive.status == "INACTIVE"


def test_it_makes_a_bulk_move_through_the_actions(staff_client: Client) -> None:
    operators = [make_operator(), make_operator()]
    OutboxEvent.objects.all().delete()

    response = bulk(staff_client, "activate_selected", operators, confirmed="yes", reason="Go-live")

    assert response.status_code == 302
    assert set(Operator.objects.values_list("status", flat=True)) == {"ACTIVE"}
    assert AuditEntry.objects.filter(action="activate", reason="Go-live").count() == 2
    assert OutboxEvent.objects.count() == 2


def test_it_reports_by_name_which_part_of_a_bulk_move_failed(staff_client: Client, monkeypatch: Any) -> None:
    from operators.admin import moves
    from operators.errors import VaultUnavailable

    good, bad = make_operator(name="Good"), make_operator(name="Bad")

    def fails_for_one(**arguments: Any) -> Operator:
        if arguments["operator_id"] == bad.pk:
            raise VaultUnavailable
        return actions.delete_operator(**arguments)

    move = moves.Move(**{**vars(moves.DELETE), "run": fails_for_one})
    monkeypatch.setitem(moves.BULK_MOVES, "delete_selected", move)
    bulk(staff_client, "delete_selected", [good, bad], confirmed="yes")

    shown = staff_client.get(LIST).content.decode()
    assert "Bad: The credential store does not answer" in shown
    assert "done for Good" in shown
    assert list(Operator.objects.live()) == [bad]


def test_it_never_removes_rows(staff_client: Client) -> None:
    operator = make_operator()

    bulk(staff_client, "delete_selected", [operator], confirmed="yes")

    operator.refresh_from_db()
    assert operator.is_deleted


def test_it_refuses_a_bulk_move_of_too_many(staff_client: Client) -> None:
    from tests.operators.test_admin_list import stored

    operators = stored(201)

    bulk(staff_client, "activate_selected", operators, index="0")

    assert "At most 200" in staff_client.get(LIST).content.decode()
