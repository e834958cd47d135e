"""What PostgreSQL does to the audit trail at commit, on connections of their own."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from django.core.management import call_command
from django.db import IntegrityError, connection, connections, transaction
from django.utils import timezone

from operators import actions, audit
from operators.actors import Actor
from operators.chain import AUDIT, GENESIS, READS
from operators.models import AuditAction, AuditEntry, CredentialRead, Operator
from tests.factories import make_operator

pytestmark = pytest.mark.django_db(transaction=True)


def note(operator: Operator, actor: Actor, reason: str = "") -> AuditEntry:
    return audit.record(
        operator=operator, actor=actor, action=AuditAction.UPDATE, changes={}, reason=reason, at=timezone.now()
    )


def read_password(operator_id: uuid.UUID | None = None) -> None:
    audit.record_credential_read(
        operator_id=operator_id or uuid.uuid4(),
        credential_version=1,
        caller="smpp-connector",
        identity="spiffe://ops.local/ns/sms/sa/smpp-connector",
        result="ok",
        at=timezone.now(),
    )


def links(model: type[AuditEntry] | type[CredentialRead]) -> list[tuple[int | None, str, str]]:
    return list(model._default_manager.order_by("id").values_list("sequence", "previous_hash", "hash"))


def assert_whole(rows: list[tuple[int | None, str, str]]) -> None:
    assert [sequence for sequence, _, _ in sorted(rows)] == list(range(1, len(rows) + 1))
    ordered = sorted(rows)
    assert [before for _, before, _ in ordered] == [GENESIS, *(own for _, _, own in ordered)][: len(rows)]


@contextmanager
def running(*works: Callable[[], None]) -> Iterator[list[threading.Thread]]:
    """Run each work in a thread with a connection of its own; what one raises is raised here."""
    errors: list[BaseException] = []

    def guarded(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=guarded, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    yield threads
    for thread in threads:
        thread.join(timeout=30)
    if errors:
        raise errors[0]
    assert not any(thread.is_alive() for thread in threads)


def test_it_links_each_change_to_the_one_before(actor: Actor) -> None:
    operator = make_operator()
    actions.activate_operator(actor=actor, operator_id=operator.pk)
    actions.suspend_operator(actor=actor, operator_id=operator.pk)

    rows = links(AuditEntry)

    assert [sequence for sequence, _, _ in rows] == [1, 2, 3]
    assert_whole(rows)


def test_it_links_each_read_of_a_password(actor: Actor) -> None:
    for _ in range(3):
        read_password()

    assert_whole(links(CredentialRead))
    assert not AuditEntry.objects.exists()


def test_it_leaves_no_gap_where_a_transaction_was_rolled_back(actor: Actor) -> None:
    operator = make_operator()
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        note(operator, actor)
        connection.check_constraints()  # links it, as a commit would
        raise ZeroDivisionError
    note(operator, actor)

    first, second = AuditEntry.objects.order_by("id")
    assert (first.sequence, second.sequence) == (1, 2)
    assert second.id > first.id + 1
    assert second.previous_hash == first.hash


def test_it_links_several_entries_of_one_transaction_in_their_order(actor: Actor) -> None:
    operator = make_operator()
    with transaction.atomic():
        for number in range(5):
            note(operator, actor, f"step {number}")

    assert_whole(links(AuditEntry))
    reasons = list(AuditEntry.objects.order_by("sequence").values_list("reason", flat=True))
    assert reasons == ["", *(f"step {number}" for number in range(5))]


def test_it_shows_nobody_a_row_that_is_not_linked(actor: Actor) -> None:
    operator = make_operator()
    with transaction.atomic():
        entry = note(operator, actor)
        entry.refresh_from_db()
        assert (entry.sequence, entry.hash) == (None, "")

    assert not AuditEntry.objects.filter(sequence=None).exists()


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE {table} SET actor = 'mallory'",
        "UPDATE {table} SET hash = repeat('0', 64)",
        "UPDATE {table} SET sequence = NULL",
        "DELETE FROM {table}",
        "TRUNCATE {table}",
        "TRUNCATE operators_operator CASCADE",
    ],
)
def test_it_refuses_every_other_change_of_an_entry(change: str) -> None:
    make_operator()
    before = AuditEntry.objects.values().get()

    with pytest.raises(IntegrityError, match="Rows are only added to operators_auditentry"), connection.cursor() as c:
        c.execute(change.format(table=AUDIT.table))

    assert AuditEntry.objects.values().get() == before


@pytest.mark.parametrize(
    "change", ["UPDATE {table} SET result = 'ok'", "DELETE FROM {table}", "TRUNCATE {table} RESTART IDENTITY"]
)
def test_it_refuses_every_change_of_a_read(change: str) -> None:
    read_password()

    with pytest.raises(IntegrityError, match="Rows are only added to"), connection.cursor() as c:
        c.execute(change.format(table=READS.table))

    assert CredentialRead.objects.count() == 1


def test_it_takes_no_link_from_who_adds_a_row(actor: Actor) -> None:
    operator = make_operator()
    forged = {"sequence": 900, "previous_hash": "f" * 64, "hash": "f" * 64}
    values = {"operator": operator, "version": 1, "action": "update", "actor": "mallory", "source": "api"}
    with transaction.atomic():
        note(operator, actor)
        AuditEntry.objects.create(**values, **forged, at=timezone.now())
    values = {"operator_id": operator.pk, "caller": "c", "identity": "i", "result": "ok"}
    CredentialRead.objects.create(**values, **forged, at=timezone.now())

    assert_whole(links(AuditEntry))
    assert_whole(links(CredentialRead))


def test_it_hashes_alike_whatever_a_session_has_set(actor: Actor) -> None:
    operator = make_operator()
    at = datetime(2026, 3, 29, 1, 30, 0, 120, tzinfo=UTC)
    text = 'żółć "quoted" \\ back\tslash \x7f \x01 😀 <&> \u2028'
    with connection.cursor() as cursor:
        cursor.execute("SET TIME ZONE 'Asia/Kathmandu'; SET DateStyle = 'German, DMY'; SET extra_float_digits = -5")
        try:
            audit.record(
                operator=operator,
                actor=actor,
                action=AuditAction.UPDATE,
                changes={"tpsLimit.burstMultiplier": (1.5, 1e-7), "notes": (None, text), "b": (True, [0.1, 2**53])},
                reason=text,
                at=at,
            )
        finally:
            cursor.execute("RESET ALL; SET TIME ZONE 'UTC'; SET search_path = ops, public")
    call_command("verify_audit", verbosity=0)


def test_it_does_not_deadlock_two_transactions_over_two_operators_in_opposite_order(actor: Actor) -> None:
    """Each has an entry about one operator before either begins with the other: nobody holds the chain meanwhile."""
    one, two = make_operator(), make_operator()
    both_began = threading.Barrier(2)

    def work(first: Operator, second: Operator) -> Callable[[], None]:
        def run() -> None:
            for _ in range(10):
                with transaction.atomic():
                    note(first, actor)
                    both_began.wait(timeout=10)
                    note(second, actor)

        return run

    with running(work(one, two), work(two, one)):
        pass

    assert AuditEntry.objects.count() == 42
    assert_whole(links(AuditEntry))


def test_it_lets_others_write_while_a_long_transaction_has_its_entries(actor: Actor) -> None:
    busy, other = make_operator(), make_operator()
    began, done = threading.Event(), threading.Event()

    def slow_import() -> None:
        with transaction.atomic():
            note(busy, actor, "import")
            began.set()
            assert done.wait(timeout=20)

    with running(slow_import):
        assert began.wait(timeout=10)
        started = time.monotonic()
        for _ in range(5):
            note(other, actor)
        read_password()
        took = time.monotonic() - started
        done.set()

    assert took < 2
    assert_whole(links(AuditEntry))
    assert AuditEntry.objects.order_by("-sequence").values_list("reason", flat=True)[0] == "import"


def test_it_keeps_one_line_through_many_writers_at_once(actor: Actor) -> None:
    operators = [make_operator() for _ in range(4)]

    def write(operator: Operator) -> Callable[[], None]:
        def run() -> None:
            for number in range(25):
                note(operator, actor, str(number))
                read_password(operator.pk)

        return run

    with running(*(write(operator) for operator in operators)):
        pass

    assert_whole(links(AuditEntry))
    assert_whole(links(CredentialRead))
    assert (AuditEntry.objects.count(), CredentialRead.objects.count()) == (104, 100)


def test_it_gives_a_read_to_the_disk_before_it_returns() -> None:
    """The row itself is committed without waiting; what was flushed afterwards has to reach beyond it."""
    read_password()
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_current_wal_insert_lsn()")
        before: tuple[Any, ...] = cursor.fetchone()
        read_password()
        cursor.execute("SELECT pg_current_wal_flush_lsn() > %s", before)
        assert cursor.fetchone() == (True,)
        cursor.execute("SHOW synchronous_commit")
        assert cursor.fetchone() == ("on",)


def test_it_refuses_a_stale_view_of_the_chain_rather_than_forking_it(actor: Actor) -> None:
    operator = make_operator()
    with psycopg.connect(**connection.get_connection_params(), autocommit=True) as other:
        other.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        other.execute("SELECT 1 FROM operators_operator")
        note(operator, actor)
        with pytest.raises(psycopg.errors.UniqueViolation):
            other.execute(
                "INSERT INTO operators_auditentry (operator_id, version, action, actor, source, reason, changes,"
                " trace_id, at) SELECT operator_id, version, action, actor, source, reason, changes, trace_id, at"
                " FROM operators_auditentry"
            )
            other.execute("COMMIT")

    assert_whole(links(AuditEntry))


def test_it_links_the_rows_that_are_there_when_it_arrives(actor: Actor) -> None:
    operator = make_operator()
    for number in range(3):
        note(operator, actor, str(number))
        read_password(operator.pk)
    kept = links(AuditEntry), links(CredentialRead)

    call_command("migrate", "operators", "0005", verbosity=0)
    call_command("migrate", "operators", verbosity=0)

    assert (links(AuditEntry), links(CredentialRead)) == kept
    assert_whole(links(AuditEntry))
