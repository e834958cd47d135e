"""What a crash between Vault and the database leaves behind, found and mended on real stores."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone
from pytest_django import Settings

from deploy.dev.openbao import OpenBao
from operators import actions
from operators.actors import Actor
from operators.credentials import CredentialChangeUnderWay
from operators.models import AuditEntry, CredentialAttempt, Operator, OperatorQuerySet
from operators.reconcile import Finding, Found, Reconciler
from operators.secrets import Secret
from operators.vault import Role, SecretMetadata, VaultClient, forget_clients, vault
from tests.factories import ALICE, PASSWORD, make_operator

pytestmark = pytest.mark.django_db

NOTHING = timedelta(0)
LONG = timedelta(days=40)
CANARY = "Zq7#canary!pw"


@pytest.fixture(autouse=True)
def no_leftovers() -> None:
    """Other tests roll their rows back, and Vault keeps the secrets."""
    root = vault(Role.BOOTSTRAP)
    for folder in root.list_keys("ops/operators/"):
        for name in root.list_keys(f"ops/operators/{folder}"):
            root.purge(f"ops/operators/{folder}{name}")


def path_of(operator_id: UUID) -> str:
    return f"ops/operators/{operator_id}/credentials"


def write(operator_id: UUID, *, cas: int, password: str = CANARY) -> int:
    return vault(Role.ADMIN).write(path_of(operator_id), {"password": Secret(password)}, cas=cas)


def stored(operator_id: UUID) -> SecretMetadata:
    metadata = vault(Role.BOOTSTRAP).describe(path_of(operator_id))
    assert metadata is not None
    return metadata


def readable(operator_id: UUID) -> list[int]:
    return [n for n, state in stored(operator_id).versions.items() if not state.is_deleted and not state.is_destroyed]


def attempt(operator_id: UUID, *, base_version: int, age: timedelta = timedelta(minutes=2)) -> CredentialAttempt:
    return CredentialAttempt.objects.create(
        operator_id=operator_id, base_version=base_version, actor="alice", started_at=timezone.now() - age
    )


def reconcile(*, grace: timedelta = NOTHING, retention: timedelta = LONG, dry_run: bool = False) -> list[Found]:
    return list(Reconciler(grace=grace, retention=retention, dry_run=dry_run).run())


def kinds(found: list[Found]) -> list[tuple[Finding, str]]:
    return [(each.finding, each.key) for each in found]


def rotate(operator: Operator, password: str) -> Operator:
    return actions.update_operator(actor=ALICE, operator_id=operator.pk, changes={}, password=Secret(password))


def test_it_finds_nothing_where_nothing_is_wrong() -> None:
    rotate(make_operator(), "second")
    deleted = make_operator()
    actions.delete_operator(actor=ALICE, operator_id=deleted.pk)
    back = rotate(make_operator(), "second")
    actions.revert_credential(actor=ALICE, operator_id=back.pk)

    assert reconcile() == []
    assert readable(back.pk) == [1, 2]


class TestOrphans:
    def test_it_leaves_a_young_secret_alone_for_its_row_may_still_come(self) -> None:
        write(uuid.uuid4(), cas=0)
        assert reconcile(grace=timedelta(hours=1)) == []

    def test_it_soft_deletes_a_secret_without_a_row_so_that_it_can_be_brought_back(self) -> None:
        orphan = uuid.uuid4()
        write(orphan, cas=0)

        assert kinds(reconcile(dry_run=True)) == [(Finding.ORPHAN, str(orphan))]
        assert not AuditEntry.objects.exists()
        assert kinds(reconcile()) == [(Finding.ORPHAN, str(orphan))]

        entry = AuditEntry.objects.get()
        assert (entry.action, entry.object_type, entry.object_id) == ("reconcile", "credential", str(orphan))
        assert (entry.operator, entry.source) == (None, "command")
        assert entry.actor.startswith("reconcile:") and "soft-delete version 1" in entry.reason
        assert readable(orphan) == []
        assert reconcile() == []
        vault(Role.ADMIN).undelete(path_of(orphan), [1])
        assert vault(Role.INTERNAL).read(path_of(orphan), version=1)["password"].reveal() == CANARY

    def test_it_removes_it_for_good_after_the_retention(self) -> None:
        orphan = uuid.uuid4()
        write(orphan, cas=0)
        reconcile()

        assert kinds(reconcile(retention=NOTHING)) == [(Finding.EXPIRED, str(orphan))]

        assert vault(Role.BOOTSTRAP).describe(path_of(orphan)) is None

    def test_it_removes_labels_that_were_never_followed_by_a_password(self) -> None:
        orphan = uuid.uuid4()
        vault(Role.ADMIN).label(path_of(orphan), {"operator_id": str(orphan)})

        assert kinds(reconcile()) == [(Finding.EXPIRED, str(orphan))]
        assert vault(Role.BOOTSTRAP).describe(path_of(orphan)) is None

    def test_it_reports_a_key_that_is_no_operator(self) -> None:
        vault(Role.BOOTSTRAP).write("ops/operators/by-hand/credentials", {"password": Secret("x")}, cas=0)
        assert kinds(reconcile()) == [(Finding.UNKNOWN_KEY, "by-hand/")]


class TestAttempts:
    def test_it_clears_up_after_a_creation_that_died_before_its_row(self) -> None:
        lost = uuid.uuid4()
        write(lost, cas=0)
        attempt(lost, base_version=0)

        assert kinds(reconcile(grace=timedelta(hours=1))) == [(Finding.ABANDONED_ATTEMPT, str(lost))]

        assert readable(lost) == []
        assert not CredentialAttempt.objects.exists()

    def test_it_clears_up_after_a_creation_that_died_before_its_write(self) -> None:
        lost = uuid.uuid4()
        attempt(lost, base_version=0)

        assert kinds(reconcile()) == [(Finding.ABANDONED_ATTEMPT, str(lost))]
        assert not CredentialAttempt.objects.exists()

    def test_it_takes_back_the_version_of_a_rotation_that_died_and_lets_the_next_one_in(self) -> None:
        operator = make_operator()
        write(operator.pk, cas=1)
        attempt(operator.pk, base_version=1)

        [found] = reconcile(grace=timedelta(hours=1))

        assert (found.finding, found.detail) == (Finding.ABANDONED_ATTEMPT, "soft-delete version 2")
        assert readable(operator.pk) == [1]
        assert operator.password.reveal() == PASSWORD
        assert rotate(operator, "third").password.reveal() == "third"

    def test_it_keeps_its_hands_off_a_write_that_is_under_way(self) -> None:
        operator = make_operator()
        write(operator.pk, cas=1)
        attempt(operator.pk, base_version=1, age=timedelta(seconds=5))

        assert reconcile() == []
        assert readable(operator.pk) == [1, 2]
        assert CredentialAttempt.objects.count() == 1

    def test_it_lets_no_write_name_what_it_has_taken_for_a_leftover(self, monkeypatch: pytest.MonkeyPatch) -> None:
        operator = make_operator()
        write = VaultClient.write

        def frozen_for_a_minute(self: VaultClient, *args: Any, **kwargs: Any) -> int:
            version = write(self, *args, **kwargs)
            CredentialAttempt.objects.update(started_at=timezone.now() - timedelta(minutes=2))
            assert [each.finding for each in reconcile()] == [Finding.ABANDONED_ATTEMPT]
            return version

        monkeypatch.setattr(VaultClient, "write", frozen_for_a_minute)
        with pytest.raises(CredentialChangeUnderWay):
            rotate(operator, "second")

        operator.refresh_from_db()
        assert (operator.credential_version, operator.version) == (1, 1)
        assert operator.password.reveal() == PASSWORD
        assert readable(operator.pk) == [1]

    def test_it_leaves_alone_what_commits_at_that_moment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        operator = make_operator()
        write(operator.pk, cas=1)
        slow = attempt(operator.pk, base_version=1)
        in_bulk = OperatorQuerySet.in_bulk

        def committed_after_the_look(self: OperatorQuerySet, ids: list[UUID]) -> Any:
            rows = in_bulk(self, ids)
            slow.delete()
            Operator.objects.filter(pk=operator.pk).update(credential_version=2, credential_previous_version=1)
            return rows

        monkeypatch.setattr(OperatorQuerySet, "in_bulk", committed_after_the_look)

        assert reconcile() == []
        assert readable(operator.pk) == [1, 2]


class TestLiveOperators:
    def test_it_soft_deletes_newer_versions_that_nobody_names(self) -> None:
        operator = rotate(make_operator(), "second")
        write(operator.pk, cas=2)

        assert reconcile(grace=timedelta(hours=1)) == []
        assert kinds(reconcile()) == [(Finding.UNREFERENCED_VERSION, str(operator.pk))]

        assert readable(operator.pk) == [1, 2]
        assert operator.password.reveal() == "second"

    def test_it_brings_back_a_named_version_that_was_soft_deleted(self) -> None:
        operator = rotate(make_operator(), "second")
        vault(Role.ADMIN).soft_delete(path_of(operator.pk), [1, 2])

        [found] = reconcile()

        assert (found.finding, found.detail) == (Finding.NAMED_BUT_DELETED, "undelete version 1, 2")
        assert operator.password.reveal() == "second"

    def test_it_destroys_old_leftovers_and_no_version_that_is_named(self) -> None:
        operator = rotate(make_operator(), "second")
        write(operator.pk, cas=2)
        reconcile()

        assert kinds(reconcile(retention=NOTHING)) == [(Finding.EXPIRED, str(operator.pk))]

        versions = stored(operator.pk).versions
        assert [n for n, state in versions.items() if state.is_destroyed] == [3]
        assert operator.password.reveal() == "second"

    @pytest.mark.parametrize(
        ("spoil", "finding"),
        [
            (lambda path: vault(Role.BOOTSTRAP).purge(path), Finding.NOTHING_STORED),
            (lambda path: vault(Role.BOOTSTRAP).destroy(path, [1]), Finding.POINTER_DESTROYED),
            (lambda path: vault(Role.ADMIN).label(path, {"operator_id": str(uuid.uuid4())}), Finding.WRONG_LABEL),
        ],
    )
    def test_it_reports_what_only_a_person_can_mend(self, spoil: Callable[[str], object], finding: Finding) -> None:
        operator = make_operator()
        spoil(path_of(operator.pk))

        assert kinds(reconcile()) == [(finding, str(operator.pk))]
        assert finding.needs_person

    def test_it_reports_an_operator_that_names_more_than_there_is(self) -> None:
        operator = make_operator()
        Operator.objects.filter(pk=operator.pk).update(credential_version=7)

        [found] = reconcile()

        assert found.finding is Finding.POINTER_BEYOND and "names 7, the newest is 1" in found.detail

    def test_it_is_content_again_after_a_rotation(self) -> None:
        operator = make_operator()
        vault(Role.BOOTSTRAP).destroy(path_of(operator.pk), [1])
        rotate(operator, "second")

        assert reconcile() == []


class TestDeletedOperators:
    def deleted(self, *, ago: timedelta) -> Operator:
        """A deletion whose process died before it came to Vault."""
        operator = make_operator()
        Operator.objects.filter(pk=operator.pk).update(deleted_at=timezone.now() - ago)
        return operator

    def test_it_finishes_a_deletion(self) -> None:
        operator = self.deleted(ago=timedelta(minutes=5))

        assert kinds(reconcile()) == [(Finding.KEPT_AFTER_DELETION, str(operator.pk))]
        assert readable(operator.pk) == []

    def test_it_gives_a_deletion_the_time_to_finish_by_itself(self) -> None:
        operator = self.deleted(ago=timedelta(seconds=5))

        assert reconcile() == []
        assert readable(operator.pk) == [1]

    def test_it_keeps_the_password_for_the_retention_and_destroys_it_then(self) -> None:
        operator = self.deleted(ago=timedelta(days=2))
        reconcile()
        assert reconcile(retention=timedelta(days=1)) == []  # soft-deleted only now

        assert kinds(reconcile(retention=NOTHING)) == [(Finding.EXPIRED, str(operator.pk))]

        assert stored(operator.pk).versions[1].is_destroyed
        assert reconcile(retention=NOTHING) == []

    def test_it_does_not_undo_a_restore_that_commits_meanwhile(self, monkeypatch: pytest.MonkeyPatch) -> None:
        operator = self.deleted(ago=timedelta(minutes=5))
        reconciler = vault(Role.RECONCILER)
        soft_delete = type(reconciler).soft_delete

        def restored_at_that_moment(self: Any, path: str, versions: list[int]) -> None:
            Operator.objects.filter(pk=operator.pk).update(deleted_at=None)
            soft_delete(self, path, versions)

        monkeypatch.setattr(type(reconciler), "soft_delete", restored_at_that_moment)
        reconcile()

        assert operator.password.reveal() == PASSWORD


class TestCommand:
    def run(self, *args: str) -> str:
        out = StringIO()
        call_command("reconcile_credentials", *args, stdout=out)
        return out.getvalue()

    def test_it_tells_what_it_mended(self) -> None:
        orphan = uuid.uuid4()
        write(orphan, cas=0)
        make_operator()

        text = self.run("--grace", "0")

        assert "secret of an operator that does not exist (mended): 1" in text
        assert f"  {orphan}  soft-delete version 1" in text
        assert "Checked 2 operators and secrets." in text

    def test_it_changes_nothing_in_a_dry_run(self) -> None:
        orphan, lost = uuid.uuid4(), uuid.uuid4()
        write(orphan, cas=0)
        write(lost, cas=0)
        attempt(lost, base_version=0)
        hidden, deleted = make_operator(), make_operator()
        vault(Role.ADMIN).soft_delete(path_of(hidden.pk), [1])
        Operator.objects.filter(pk=deleted.pk).update(deleted_at=timezone.now() - LONG)

        text = self.run("--grace", "0", "--dry-run")

        assert text.count("would be mended") == 4
        assert readable(orphan) == readable(lost) == readable(deleted.pk) == [1]
        assert readable(hidden.pk) == []
        assert CredentialAttempt.objects.count() == 1

    def test_it_writes_a_report_and_fails_when_something_needs_a_person(self, tmp_path: Path) -> None:
        operator, orphan = make_operator(password=CANARY), uuid.uuid4()
        vault(Role.BOOTSTRAP).purge(path_of(operator.pk))
        write(orphan, cas=0)

        with pytest.raises(CommandError, match="need a person") as failure:
            self.run("--grace", "0", "--report", str(tmp_path / "report.json"))

        text = (tmp_path / "report.json").read_text()
        report = json.loads(text)
        assert failure.value.returncode == 1
        assert report["tally"] == {"ORPHAN": 1, "NOTHING_STORED": 1}
        assert {row["operatorId"]: row["outcome"] for row in report["findings"]} == {
            str(orphan): "mended",
            str(operator.pk): "needs a person",
        }
        assert CANARY not in text

    def test_it_stops_with_another_code_when_vault_is_away(self, openbao: OpenBao) -> None:
        make_operator()
        openbao.stop()
        try:
            with pytest.raises(CommandError, match="Stopped after 0 operators") as failure:
                self.run()
        finally:
            openbao.start()
            forget_clients()
        assert failure.value.returncode == 2

    def test_it_refuses_a_negative_grace(self) -> None:
        with pytest.raises(CommandError, match="--grace"):
            self.run("--grace", "-1")

    def test_it_keeps_what_the_settings_say(self, settings: Settings) -> None:
        orphan = uuid.uuid4()
        write(orphan, cas=0)
        self.run("--grace", "0")
        self.run("--grace", "0")
        assert readable(orphan) == []
        settings.CREDENTIAL_RETENTION_DAYS = 0

        assert "retention (mended): 1" in self.run("--grace", "0")


@pytest.mark.django_db(transaction=True)
class TestBesideOthers:
    def test_it_runs_as_a_process(self, process_env: dict[str, str]) -> None:
        operator = make_operator()
        command = [sys.executable, "manage.py", "reconcile_credentials", "--grace", "0"]

        good = subprocess.run(command, env=process_env, capture_output=True, text=True, check=False)
        vault(Role.BOOTSTRAP).purge(path_of(operator.pk))
        bad = subprocess.run(command, env=process_env, capture_output=True, text=True, check=False)

        assert (good.returncode, bad.returncode) == (0, 1), good.stderr
        assert str(operator.pk) in bad.stdout
        assert PASSWORD not in good.stdout + good.stderr + bad.stdout + bad.stderr

    def test_it_never_takes_away_what_a_rotation_beside_it_writes(self, actor: Actor) -> None:
        operators = [make_operator() for _ in range(3)]
        done = threading.Event()
        problems: list[BaseException] = []

        def rotate_all() -> None:
            try:
                for number in range(8):
                    for operator in operators:
                        rotate(operator, f"rotated{number}")
            except BaseException as error:
                problems.append(error)
            finally:
                connection.close()
                done.set()

        thread = threading.Thread(target=rotate_all)
        thread.start()
        found: list[Found] = []
        runs = 0
        while not done.is_set():
            found += reconcile()
            runs += 1
        thread.join()

        assert problems == [] and found == [] and runs > 1
        for operator in operators:
            assert Operator.objects.get(pk=operator.pk).password.reveal() == "rotated7"
