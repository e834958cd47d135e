from __future__ import annotations

import re
from typing import Final

import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from operators import actions
from operators.actors import Actor
from operators.models import AuditEntry, Operator, OutboxEvent
from operators.secrets import Secret
from tests.factories import make_operator
from tests.operators.console import LIST, member_of, page, typed

pytestmark = pytest.mark.django_db

RIGHTS: Final = {
    "Viewer": set[str](),
    "Operator manager": {"add", "change", "activate", "suspend", "deactivate", "delete", "restore"},
    "Rate manager": set(),
    "Security officer": {"rotate", "revert"},
    "Administrator": {
        "add",
        "change",
        "activate",
        "suspend",
        "deactivate",
        "delete",
        "restore",
        "rotate",
        "revert",
    },
}
DOORS: Final = sorted(RIGHTS["Administrator"])


def ready_for(move: str, actor: Actor) -> Operator:
    """Bring an operator into a state in which the move is possible."""
    operator = make_operator()
    if move in {"suspend", "deactivate"}:
        return actions.activate_operator(actor=actor, operator_id=operator.pk)
    if move == "revert":
        return actions.update_operator(actor=actor, operator_id=operator.pk, changes={}, password=Secret("n3w"))
    if move == "restore":
        return actions.delete_operator(actor=actor, operator_id=operator.pk)
    return operator


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("group", RIGHTS)
def test_it_opens_each_door_to_those_who_may(group: str, door: str, actor: Actor) -> None:
    operator = ready_for(door, actor)
    client = member_of(group)
    may = door in RIGHTS[group]

    if door == "add":
        response = client.post(f"{LIST}add/", typed())
        happened = Operator.objects.count() == 2
    else:
        form = typed(operator, name="Renamed") if door == "change" else {"password": "n3w-pass", "reason": ""}
        response = client.post(page(door, operator), {**form, "expected_version": operator.version})
        happened = Operator.objects.get(pk=operator.pk).version > operator.version

    assert (response.status_code, happened) == ((302, True) if may else (403, False))


@pytest.mark.parametrize("group", RIGHTS)
def test_it_shows_no_button_that_would_be_refused(group: str, actor: Actor) -> None:
    operator = ready_for("revert", actor)

    html = member_of(group).get(page("change", operator)).content.decode()

    buttons = set(re.findall(rf'class="move [^"]*" href="/admin/operators/operator/{operator.pk}/(\w+)/"', html))
    assert buttons == RIGHTS[group] & {"activate", "rotate", "revert", "delete"}
    assert ('name="_save"' in html) == ("change" in RIGHTS[group])
    assert ('type="password"' in html) == ({"change", "rotate"} <= RIGHTS[group])


@pytest.mark.parametrize("group", RIGHTS)
def test_it_offers_only_permitted_bulk_moves(group: str) -> None:
    make_operator()

    html = member_of(group).get(LIST).content.decode()

    offered = set(re.findall(r'<option value="(\w+)_selected"', html))
    assert offered == RIGHTS[group] & {"activate", "suspend", "deactivate", "delete"}


def test_it_ignores_a_password_from_who_may_not_rotate() -> None:
    operator = make_operator()

    member_of("Operator manager").post(page("change", operator), typed(operator, password="sneaked", name="New"))

    operator.refresh_from_db()
    assert (operator.name, operator.credential_version) == ("New", 1)


def test_it_refuses_a_bulk_move_from_who_may_not_make_it() -> None:
    operator = make_operator()

    member_of("Viewer").post(
        LIST, {"action": "delete_selected", "_selected_action": str(operator.pk), "confirmed": "yes"}
    )

    operator.refresh_from_db()
    assert not operator.is_deleted


def test_it_shows_nothing_to_staff_without_rights(client: Client) -> None:
    operator = make_operator(name="Comium")
    client.force_login(get_user_model().objects.create_user("new", is_staff=True))

    for url in (LIST, page("change", operator), page("history", operator), page("rotate", operator)):
        assert client.get(url).status_code == 403
    assert "Comium" not in client.get("/admin/").content.decode()


def test_it_sends_strangers_to_the_login(client: Client) -> None:
    operator = make_operator()

    for url in ("/admin/", LIST, page("change", operator), page("delete", operator), page("history", operator)):
        response = client.get(url)
        assert response.status_code == 302
        assert response["Location"].startswith("/admin/login/")


def test_it_lets_only_administrators_publish_parked_events_again() -> None:
    make_operator()
    OutboxEvent.objects.update(parked_at="2026-11-01T00:00:00Z", attempts=8)
    data = {"action": "publish_again", "_selected_action": list(OutboxEvent.objects.values_list("pk", flat=True))}

    assert member_of("Viewer").post("/admin/operators/outboxevent/", data).status_code == 403
    assert OutboxEvent.objects.parked().count() == 1

    member_of("Administrator").post("/admin/operators/outboxevent/", {**data, "index": "0"})
    event = OutboxEvent.objects.get()
    assert (event.parked_at, event.attempts) == (None, 0)
    entry = AuditEntry.objects.get(object_type="event")
    assert (entry.action, entry.object_id, entry.actor) == ("publish_again", str(event.event_id), "administrator")
    assert entry.changes == {"parkedAt": ["2026-11-01T00:00:00.000000Z", None]}
