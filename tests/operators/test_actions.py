"""The actions: what each does to row, history, outbox and Vault, and what it refuses."""

from __future__ import annotations

from decimal import Decimal
from uuid import uuid4

import pytest

from operators import actions
from operators.actions import OperatorValues
from operators.actors import Actor, Source
from operators.errors import (
    DuplicateOperator,
    InvalidPayload,
    InvalidStatusTransition,
    OperatorNotFound,
    PreconditionFailed,
)
from operators.models import AuditEntry, CredentialAttempt, Operator, OutboxEvent, Status
from operators.secrets import Secret
from operators.vault import Role, vault
from tests.factories import ALICE, PASSWORD, make_operator, values

pytestmark = pytest.mark.django_db

BOB = Actor("bob", Source.API)


def last_event(operator: Operator) -> OutboxEvent:
    event = OutboxEvent.objects.filter(operator_id=operator.id).last()
    assert event is not None
    return event


def problem_fields(caught: pytest.ExceptionInfo[InvalidPayload]) -> list[str]:
    return [problem.field for problem in caught.value.problems]


def test_it_creates_an_inactive_operator_with_its_secret_history_and_event() -> None:
    operator = make_operator(name="  Comium +22 ", host="SMPP4.Comium.Example.", port=3550, system_id="comium_80")

    stored = Operator.objects.get(pk=operator.pk)
    assert (stored.name, stored.host, stored.status, stored.version) == (
        "Comium +22",
        "smpp4.comium.example",
        Status.INACTIVE,
        1,
    )
    assert stored.burst_multiplier == Decimal("1.50")
    assert stored.credential_version == 1
    assert stored.password.reveal() == PASSWORD
    entry = AuditEntry.objects.get(operator=operator)
    assert (entry.action, entry.actor, entry.source, entry.version) == ("create", "alice", "console", 1)
    assert entry.changes["host"] == [None, "smpp4.comium.example"]
    event = last_event(operator)
    assert event.subject == "operator.config.created"
    assert event.payload["tpsLimit"] == {"maxTps": 100, "burstMultiplier": 1.5, "enforcementMode": "HARD_REJECT"}
    assert event.payload["createdBy"] == "alice"
    assert not CredentialAttempt.objects.exists()


@pytest.mark.parametrize(
    ("overrides", "field"),
    [
        ({"name": "   "}, "name"),
        ({"name": "x" * 129}, "name"),
        ({"name": "two\nlines"}, "name"),
        ({"host": "smpp://carrier.example"}, "host"),
        ({"host": "carrier.example:2775"}, "host"),
        ({"host": "carrier.example/path"}, "host"),
        ({"host": "999.1.2.3"}, "host"),
        ({"host": "-bad.example"}, "host"),
        ({"port": 0}, "port"),
        ({"port": 65536}, "port"),
        ({"system_id": ""}, "systemId"),
        ({"system_id": "x" * 16}, "systemId"),
        ({"system_id": "smörgås"}, "systemId"),
        ({"system_type": "x" * 13}, "systemType"),
        ({"bind_type": "BOTH"}, "bindType"),
        ({"max_tps": 0}, "tpsLimit.maxTps"),
        ({"max_tps": 2**31}, "tpsLimit.maxTps"),
        ({"burst_multiplier": Decimal("0.99")}, "tpsLimit.burstMultiplier"),
        ({"burst_multiplier": Decimal("1.505")}, "tpsLimit.burstMultiplier"),
        ({"enforcement_mode": "WHATEVER"}, "tpsLimit.enforcementMode"),
        ({"backup_operator_id": uuid4()}, "backupOperatorId"),
        ({"tags": ["x" * 51]}, "tags"),
        ({"notes": "x" * 10_001}, "notes"),
    ],
)
def test_it_names_the_field_that_breaks_a_rule_and_leaves_nothing(overrides: OperatorValues, field: str) -> None:
    operator_id = uuid4()

    with pytest.raises(InvalidPayload) as caught:
        actions.create_operator(
            actor=ALICE, values=values(**overrides), password=Secret(PASSWORD), operator_id=operator_id
        )

    assert problem_fields(caught) == [field]
    assert not Operator.objects.exists()
    assert not OutboxEvent.objects.exists()
    assert vault(Role.RECONCILER).describe(f"ops/operators/{operator_id}/credentials") is None


@pytest.mark.parametrize("password", ["", "x" * 65, "tab\there", "pässwort", "nul\0"])
def test_it_refuses_a_password_that_no_bind_can_carry(password: str) -> None:
    with pytest.raises(InvalidPayload) as caught:
        actions.create_operator(actor=ALICE, values=values(), password=Secret(password))

    assert problem_fields(caught) == ["password"]
    assert not password or password not in str(caught.value)


def test_it_tells_all_wrong_fields_at_once() -> None:
    with pytest.raises(InvalidPayload) as caught:
        actions.create_operator(actor=ALICE, values=values(port=0, max_tps=0), password=Secret("é"))

    assert set(problem_fields(caught)) == {"port", "tpsLimit.maxTps", "password"}


@pytest.mark.parametrize(
    ("host", "stored"), [("2001:DB8::0:1", "2001:db8::1"), ("192.0.2.7", "192.0.2.7"), ("localhost", "localhost")]
)
def test_it_stores_hosts_in_one_form(host: str, stored: str) -> None:
    assert make_operator(host=host).host == stored


def test_it_names_the_operator_that_has_the_bind_or_the_name() -> None:
    first = make_operator(name="Zain", host="a.example", port=2775, system_id="zain")

    with pytest.raises(DuplicateOperator) as by_bind:
        make_operator(name="Other", host="A.example", port=2775, system_id="zain")
    with pytest.raises(DuplicateOperator) as by_name:
        make_operator(name="ZAIN")

    assert by_bind.value.existing == by_name.value.existing == first
    assert by_bind.value.fields == ("host", "port", "systemId")
    assert by_name.value.fields == ("name",)


def test_it_changes_fields_and_tells_old_and_new() -> None:
    operator = make_operator(port=2775)

    changed = actions.update_operator(
        actor=BOB,
        operator_id=operator.id,
        changes={"port": 3550, "max_tps": 250, "notes": "ask Ann"},
        expected_version=1,
        reason="ticket 7",
    )

    assert (changed.version, changed.updated_by) == (2, "bob")
    event = last_event(operator)
    assert event.payload["changedFields"] == ["notes", "port", "tpsLimit.maxTps"]
    assert event.payload["previousValues"] == {"port": 2775, "tpsLimit.maxTps": 100}
    assert event.payload["newValues"] == {"port": 3550, "tpsLimit.maxTps": 250}
    entry = AuditEntry.objects.filter(operator=operator).first()
    assert entry is not None
    assert (entry.reason, entry.changes["notes"]) == ("ticket 7", ["", "ask Ann"])


def test_it_writes_nothing_when_nothing_differs() -> None:
    operator = make_operator(burst_multiplier=Decimal("2.00"))

    same = actions.update_operator(
        actor=BOB, operator_id=operator.id, changes={"host": operator.host.upper(), "burst_multiplier": 2}
    )

    assert same.version == 1
    assert OutboxEvent.objects.count() == 1


def test_it_refuses_a_change_of_something_that_somebody_else_changed_meanwhile() -> None:
    operator = make_operator()
    actions.update_operator(actor=BOB, operator_id=operator.id, changes={"port": 3000})

    with pytest.raises(PreconditionFailed, match="bob"):
        actions.update_operator(actor=ALICE, operator_id=operator.id, changes={"port": 4000}, expected_version=1)

    assert Operator.objects.get(pk=operator.pk).port == 3000


def test_it_rotates_and_goes_back_to_the_previous_password() -> None:
    operator = make_operator(password="first")

    rotated = actions.update_operator(actor=BOB, operator_id=operator.id, changes={}, password=Secret("second"))
    assert (rotated.credential_version, rotated.credential_previous_version) == (2, 1)
    assert rotated.password.reveal() == "second"
    payload = last_event(operator).payload
    assert payload["changedFields"] == ["credentials"]
    assert payload["previousValues"] == payload["newValues"] == {}

    back = actions.revert_credential(actor=BOB, operator_id=operator.id)
    assert (back.credential_version, back.credential_previous_version, back.version) == (1, 2, 3)
    assert Operator.objects.get(pk=operator.pk).password.reveal() == "first"
    assert [entry.action for entry in AuditEntry.objects.filter(operator=operator)] == [
        "revert_credential",
        "rotate_credential",
        "create",
    ]


def test_it_has_no_previous_password_before_the_first_rotation() -> None:
    with pytest.raises(InvalidPayload) as caught:
        actions.revert_credential(actor=BOB, operator_id=make_operator().id)

    assert problem_fields(caught) == ["credentialVersion"]


def test_it_rotates_again_after_going_back() -> None:
    operator = make_operator(password="first")
    actions.update_operator(actor=BOB, operator_id=operator.id, changes={}, password=Secret("second"))
    actions.revert_credential(actor=BOB, operator_id=operator.id)

    third = actions.update_operator(actor=BOB, operator_id=operator.id, changes={}, password=Secret("third"))

    assert (third.credential_version, third.credential_previous_version) == (3, 1)
    assert third.password.reveal() == "third"


MOVES = {
    (Status.INACTIVE, Status.ACTIVE),
    (Status.ACTIVE, Status.SUSPENDED),
    (Status.ACTIVE, Status.INACTIVE),
    (Status.SUSPENDED, Status.ACTIVE),
    (Status.SUSPENDED, Status.INACTIVE),
}
ACTION_FOR = {
    Status.ACTIVE: actions.activate_operator,
    Status.SUSPENDED: actions.suspend_operator,
    Status.INACTIVE: actions.deactivate_operator,
}


@pytest.mark.parametrize("target", list(Status))
@pytest.mark.parametrize("current", list(Status))
def test_it_allows_exactly_the_status_moves_of_the_contract(current: Status, target: Status) -> None:
    operator = make_operator()
    Operator.objects.filter(pk=operator.pk).update(status=current)

    if (current, target) not in MOVES:
        with pytest.raises(InvalidStatusTransition):
            ACTION_FOR[target](actor=BOB, operator_id=operator.id)
        assert Operator.objects.get(pk=operator.pk).status == current
        return
    moved = ACTION_FOR[target](actor=BOB, operator_id=operator.id)
    assert (moved.status, moved.version) == (target, 2)
    payload = last_event(operator).payload
    assert (payload["previousValues"], payload["newValues"]) == ({"status": current}, {"status": target})


def test_it_refuses_a_backup_that_is_the_operator_itself_or_closes_a_ring() -> None:
    first, second, third = make_operator(), make_operator(), make_operator()
    actions.update_operator(actor=BOB, operator_id=first.id, changes={"backup_operator_id": second.id})
    actions.update_operator(actor=BOB, operator_id=second.id, changes={"backup_operator_id": third.id})

    for operator in (first, third):
        with pytest.raises(InvalidPayload) as caught:
            actions.update_operator(actor=BOB, operator_id=operator.id, changes={"backup_operator_id": first.id})
        assert problem_fields(caught) == ["backupOperatorId"]


def test_it_deletes_softly_and_releases_those_whom_it_backed_up() -> None:
    backup = make_operator(name="Backup")
    operator = make_operator(backup_operator_id=backup.id)
    actions.activate_operator(actor=BOB, operator_id=backup.id)

    deleted = actions.delete_operator(actor=BOB, operator_id=backup.id, reason="contract ended")

    assert deleted.is_deleted
    assert (deleted.status, deleted.version) == (Status.INACTIVE, 3)
    assert last_event(backup).subject == "operator.config.deleted"
    assert last_event(operator).payload["newValues"] == {"backupOperatorId": None}
    metadata = vault(Role.ADMIN).describe(f"ops/operators/{backup.id}/credentials")
    assert metadata is not None
    assert metadata.versions[1].is_deleted
    assert not metadata.versions[1].is_destroyed


@pytest.mark.parametrize("action", [*ACTION_FOR.values(), actions.delete_operator])
def test_it_finds_no_deleted_operator(action: object) -> None:
    operator = make_operator()
    actions.delete_operator(actor=BOB, operator_id=operator.id)

    with pytest.raises(OperatorNotFound):
        action(actor=BOB, operator_id=operator.id)  # type: ignore[operator]


def test_it_restores_with_the_password_it_had() -> None:
    operator = make_operator(password="as-it-was")
    actions.delete_operator(actor=BOB, operator_id=operator.id)

    restored = actions.restore_operator(actor=BOB, operator_id=operator.id)

    assert not restored.is_deleted
    assert (restored.status, restored.version) == (Status.INACTIVE, 3)
    assert restored.password.reveal() == "as-it-was"
    payload = last_event(operator).payload
    assert payload["changedFields"] == ["deletedAt"]
    assert payload["newValues"] == {"deletedAt": None}


def test_it_refuses_a_restore_that_would_collide_and_says_with_what() -> None:
    operator = make_operator(name="Zain")
    actions.delete_operator(actor=BOB, operator_id=operator.id)
    successor = make_operator(name="zain")

    with pytest.raises(DuplicateOperator) as caught:
        actions.restore_operator(actor=BOB, operator_id=operator.id)

    assert caught.value.existing == successor
    metadata = vault(Role.ADMIN).describe(f"ops/operators/{operator.id}/credentials")
    assert metadata is not None
    assert metadata.versions[1].is_deleted


def test_it_leaves_no_event_when_the_change_is_rolled_back(monkeypatch: pytest.MonkeyPatch) -> None:
    from operators import signals

    operator = make_operator()

    def refuse(**_: object) -> None:
        raise RuntimeError("a listener said no")

    signals.operator_changed.connect(refuse)
    try:
        with pytest.raises(RuntimeError):
            actions.update_operator(
                actor=BOB, operator_id=operator.id, changes={"port": 3000}, password=Secret("rejected")
            )
    finally:
        signals.operator_changed.disconnect(refuse)

    stored = Operator.objects.get(pk=operator.pk)
    assert (stored.port, stored.version, stored.credential_version) == (2775, 1, 1)
    assert OutboxEvent.objects.filter(operator_id=operator.id).count() == 1
    metadata = vault(Role.ADMIN).describe(f"ops/operators/{operator.id}/credentials")
    assert metadata is not None
    assert metadata.versions[2].is_deleted
    assert not CredentialAttempt.objects.exists()
