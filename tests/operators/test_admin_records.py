from __future__ import annotations

import pytest
from django.test import Client
from django.utils import timezone

from operators import actions
from operators.actors import Actor, Source
from operators.models import AuditEntry, LegacyRow, LegacyRun, OutboxEvent
from operators.secrets import Secret
from tests.factories import make_operator
from tests.operators.console import page

pytestmark = pytest.mark.django_db


def test_it_tells_an_operators_story_with_old_and_new_values(staff_client: Client, actor: Actor) -> None:
    backup = make_operator(name="Backup carrier")
    operator = make_operator(max_tps=10)
    changes: actions.OperatorValues = {"max_tps": 25, "use_tls": True, "backup_operator_id": backup.pk}
    actions.update_operator(actor=actor, operator_id=operator.pk, changes=changes, reason="CHG-88")
    robot = Actor("robot@platform", Source.API)
    actions.update_operator(actor=robot, operator_id=operator.pk, changes={}, password=Secret("n3w-pass"))

    response = staff_client.get(page("history", operator))

    told = [
        (change.what, change.entry.actor, [(d.label, d.before, d.after) for d in change.differences])
        for change in response.context["changes"]
    ]
    assert told[0] == ("Rotate credential", "robot@platform", [("Password", "version 1", "version 2")])
    assert told[1] == (
        "Update",
        "alice",
        [("Backup operator", "—", "Backup carrier"), ("Max TPS", "10", "25"), ("TLS", "no", "yes")],
    )
    assert told[2][0] == "Create"
    html = response.content.decode()
    assert "CHG-88" in html and "over the API" in html and 'title="tpsLimit.maxTps"' in html
    assert "n3w-pass" not in html


def test_it_turns_the_pages_of_a_long_history_at_a_constant_cost(
    staff_client: Client, django_assert_max_num_queries: object
) -> None:
    operator = make_operator()
    AuditEntry.objects.bulk_create(
        AuditEntry(
            operator=operator,
            version=number,
            action="update",
            actor="bob",
            source="api",
            at=timezone.now(),
            changes={"tpsLimit.maxTps": [number, number + 1]},
        )
        for number in range(2, 62)
    )

    with django_assert_max_num_queries(5):  # type: ignore[operator]
        first = staff_client.get(page("history", operator))
    last = staff_client.get(page("history", operator), {"p": 3})

    assert [change.entry.version for change in first.context["changes"]][:2] == [61, 60]
    assert len(last.context["changes"]) == 11


def test_it_shows_history_of_deleted_operators(staff_client: Client, actor: Actor) -> None:
    operator = make_operator()
    actions.delete_operator(actor=actor, operator_id=operator.pk, reason="Contract ended")

    assert "Contract ended" in staff_client.get(page("history", operator)).content.decode()


@pytest.mark.parametrize("model", ["auditentry", "outboxevent", "legacyrun", "legacyrow"])
def test_it_shows_records_and_lets_nobody_write_them(staff_client: Client, model: str) -> None:
    operator = make_operator()
    run = LegacyRun.objects.create(sheet="legacy.csv", started_at=timezone.now())
    LegacyRow.objects.create(run=run, line=2, name="Comium", outcome="created", operator=operator)
    keys = {"auditentry": AuditEntry, "outboxevent": OutboxEvent, "legacyrun": LegacyRun, "legacyrow": LegacyRow}
    listing = f"/admin/operators/{model}/"
    row = f"{listing}{keys[model]._default_manager.latest('pk').pk}/"

    assert staff_client.get(listing).status_code == 200
    assert staff_client.get(f"{row}change/").status_code == 200
    assert staff_client.get(f"{listing}add/").status_code == 403
    assert staff_client.post(f"{row}change/", {"actor": "somebody else"}).status_code == 403
    assert staff_client.post(f"{row}delete/", {"post": "yes"}).status_code == 403


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("", 5),  # with the account of this browser, and its log-in
        ("object_type__exact=user", 2),
        ("actor=alice", 2),
        ("source=api", 1),
        ("action__exact=activate", 1),
        ("q=comium", 2),
        ("q=OPS-7", 1),
        ("actor=nobody", 0),
    ],
)
def test_it_filters_the_audit_trail(staff_client: Client, actor: Actor, query: str, count: int) -> None:
    operator = make_operator(name="Comium")
    actions.activate_operator(actor=actor, operator_id=operator.pk, reason="OPS-7")
    make_operator(actor=Actor("robot", Source.API))

    response = staff_client.get(f"/admin/operators/auditentry/?{query}")

    assert len(response.context["cl"].result_list) == count


def test_it_finds_events_by_delivery_and_operator(staff_client: Client) -> None:
    operator = make_operator(name="Comium")
    make_operator()
    OutboxEvent.objects.filter(operator_id=operator.pk).update(parked_at=timezone.now(), last_error="too large")

    parked = staff_client.get("/admin/operators/outboxevent/?delivery=parked")
    found = staff_client.get(f"/admin/operators/outboxevent/?q={operator.pk}")

    assert [event.operator_id for event in parked.context["cl"].result_list] == [operator.pk]
    assert "too large" in parked.content.decode() and "Comium" in parked.content.decode()
    assert len(found.context["cl"].result_list) == 1
    assert not staff_client.get("/admin/operators/outboxevent/?q=nonsense").context["cl"].result_list
    assert len(staff_client.get("/admin/operators/outboxevent/?delivery=pending").context["cl"].result_list) == 1


@pytest.mark.parametrize(
    ("subject", "count"), [("operator.config.created", 1), ("operator.config.updated", 2), ("", 3)]
)
def test_it_filters_events_by_subject(staff_client: Client, actor: Actor, subject: str, count: int) -> None:
    operator = make_operator()
    actions.activate_operator(actor=actor, operator_id=operator.pk)
    actions.suspend_operator(actor=actor, operator_id=operator.pk)

    response = staff_client.get("/admin/operators/outboxevent/", {"subject": subject} if subject else {})

    assert len(response.context["cl"].result_list) == count


def test_it_says_when_nothing_was_parked(staff_client: Client) -> None:
    make_operator()
    data = {"action": "publish_again", "_selected_action": [OutboxEvent.objects.get().pk], "index": "0"}

    response = staff_client.post("/admin/operators/outboxevent/", data, follow=True)

    assert "None of these events is parked" in response.content.decode()
