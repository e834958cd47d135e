"""migrate_legacy_operators as a real process on real servers: the sample, repeated, undone, and interrupted."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from config.env import BASE_DIR
from deploy.dev.openbao import OpenBao
from operators import actions
from operators.legacy.migration import actor_of, only_run
from operators.models import AuditEntry, CredentialAttempt, LegacyRow, LegacyRun, Operator, OutboxEvent, Status
from operators.secrets import Secret
from operators.vault import Role, vault
from tests.factories import ALICE, make_operator
from tests.legacy_files import (
    EXPORT,
    GOOD,
    SHEET,
    as_csv,
    carriers,
    expected_rows,
    export,
    export_for,
    sheet,
    write_files,
)

pytestmark = pytest.mark.django_db(transaction=True)

CANARY = "kNr!9<qZ"
ROWS = 24  # enough to be interrupted several times, also on a fast machine
COMMAND = (sys.executable, str(BASE_DIR / "manage.py"), "migrate_legacy_operators")
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(process_env: dict[str, str]) -> Run:
    """Run the command as a process of its own, as staff do."""

    def start(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, *map(str, arguments)],
            env=process_env,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
            **options,
        )

    return start


@dataclass(frozen=True)
class Answer:
    returncode: int
    stdout: str


def migrate(*arguments: object) -> Answer:
    """Run the command in this process, which spares the start of another."""
    out = io.StringIO()
    try:
        call_command("migrate_legacy_operators", *map(str, arguments), stdout=out)
    except SystemExit as ended:
        assert isinstance(ended.code, int)
        return Answer(ended.code, out.getvalue())
    return Answer(0, out.getvalue())


@contextmanager
def started(process_env: dict[str, str], *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Start the command and leave it running; it is ended with the block."""
    process = subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        env=process_env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def wait_for_operators(count: int) -> None:
    deadline = time.monotonic() + 30
    while Operator.objects.count() < count:
        assert time.monotonic() < deadline, "the migration does not get on"
        time.sleep(0.01)


def read_report(path: Path) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(path.read_bytes())
    return report


def run_id_in(output: str) -> str:
    found = re.search(r"--rollback ([0-9a-f-]{36})", output)
    assert found
    return found[1]


def many(tmp_path: Path, count: int) -> tuple[Path, Path]:
    rows = carriers(count)
    return write_files(tmp_path, sheet(*rows), export_for(rows, password="s3cr3t-8"))


def test_it_agrees_with_every_row_of_the_sample(run: Run, tmp_path: Path) -> None:
    done = run(SHEET, "--credentials", EXPORT, "--report", tmp_path / "report.json")
    assert done.returncode == 1, done.stderr
    report = read_report(tmp_path / "report.json")
    assert report["tally"] == {"created": 30, "skipped": 4, "failed": 10}
    expected = expected_rows()
    assert [(row["name"], row["outcome"], row["field"]) for row in report["rows"]] == [
        (row["name"], row["outcome"], row["reason"]) for row in expected
    ]
    assert all(set(row) == {"line", "name", "outcome", "field", "reason"} for row in report["rows"])
    lines = SHEET.read_text("utf-8-sig").splitlines()
    assert all(lines[row["line"] - 1].strip().startswith(row["name"]) for row in report["rows"])
    operators = {operator.name: operator for operator in Operator.objects.live()}
    assert len(operators) == 30
    actor = f"migration:{LegacyRun.objects.get().id}"
    for row in expected:
        if row["outcome"] == "created":
            operator = operators[row["name"]]
            assert (operator.host, operator.port, operator.system_id, operator.max_tps) == (
                row["host"],
                row["port"],
                row["systemId"],
                row["maxTps"],
            )
            assert operator.password.reveal() == row["password"]
            assert operator.created_by == operator.updated_by == actor
            line = operator.legacy_rows.get()
            assert len(line.prefixes) == row["prefixes"]
            assert set(
                operator.routing_rules.values_list("prefix", "cost_per_segment", "currency", "mcc", "mnc", "active")
            ) == {(prefix, line.cost_per_segment, line.currency, line.mcc, line.mnc, True) for prefix in line.prefixes}
        assert row["password"] not in done.stdout + done.stderr + (tmp_path / "report.json").read_text()
    assert operators["BWS +30"].status == Status.ACTIVE
    assert operators["Comium +22"].status == operators["Nova +35"].status == Status.INACTIVE
    touch = operators["Touch +96"].legacy_rows.get()
    assert (touch.currency, touch.mcc, str(touch.cost_per_segment)) == ("USD", "420", "0.074770")
    assert LegacyRow.objects.count() == 44
    # One event tells of all the rules of a row.
    told = OutboxEvent.objects.filter(payload__changedFields=["routingRules"])
    assert told.count() == len(operators)
    assert CredentialAttempt.objects.count() == 0


def test_it_skips_everything_the_second_time(tmp_path: Path) -> None:
    migrate(SHEET, "--credentials", EXPORT)
    before = list(Operator.objects.order_by("id").values())
    events = OutboxEvent.objects.count()
    done = migrate(SHEET, "--credentials", EXPORT, "--report", tmp_path / "report.json")
    assert done.returncode == 1
    assert read_report(tmp_path / "report.json")["tally"] == {"created": 0, "skipped": 34, "failed": 10}
    assert list(Operator.objects.order_by("id").values()) == before
    assert OutboxEvent.objects.count() == events


def test_it_foretells_in_a_dry_run_what_the_real_run_does(tmp_path: Path) -> None:
    make_operator(name="nova +35")
    secrets = vault(Role.RECONCILER).list_keys("ops/operators")
    dry = migrate(SHEET, "--credentials", EXPORT, "--dry-run", "--report", tmp_path / "dry.json")
    assert (Operator.objects.count(), LegacyRun.objects.count(), AuditEntry.objects.count()) == (1, 0, 1)
    assert vault(Role.RECONCILER).list_keys("ops/operators") == secrets
    assert "nothing was changed" in dry.stdout
    real = migrate(SHEET, "--credentials", EXPORT, "--report", tmp_path / "real.json")
    assert dry.returncode == real.returncode == 1
    assert (tmp_path / "dry.json").read_bytes() == (tmp_path / "real.json").read_bytes()
    assert read_report(tmp_path / "real.json")["tally"] == {"created": 29, "skipped": 5, "failed": 10}


def test_it_undoes_a_run_but_keeps_what_somebody_has_changed(tmp_path: Path) -> None:
    own = make_operator(name="Own carrier")
    run_id = run_id_in(migrate(SHEET, "--credentials", EXPORT).stdout)
    changed = Operator.objects.get(name="BWS +30")
    actions.suspend_operator(actor=ALICE, operator_id=changed.id)
    backup = Operator.objects.get(name="Viva +56")
    actions.update_operator(actor=ALICE, operator_id=own.id, changes={"backup_operator_id": backup.id})

    dry = migrate("--rollback", run_id, "--dry-run")
    assert dry.returncode == 1 and Operator.objects.live().count() == 31
    done = migrate("--rollback", run_id, "--report", tmp_path / "report.json")
    assert done.returncode == 1
    report = read_report(tmp_path / "report.json")
    assert report["tally"] == {"deleted": 28, "kept": 2, "gone": 0}
    kept = {row["name"]: row["reason"] for row in report["rows"] if row["outcome"] == "kept"}
    assert kept["BWS +30"].startswith("alice changed it") and "Own carrier" in kept["Viva +56"]
    assert set(Operator.objects.live().values_list("id", flat=True)) == {own.id, changed.id, backup.id}
    assert LegacyRun.objects.get().rolled_back_at is not None
    about_run = AuditEntry.objects.filter(object_type="migration_run", object_id=run_id).order_by("id")
    assert [(entry.action, entry.actor) for entry in about_run] == [
        ("create", f"migration:{run_id}"),
        ("roll_back", f"migration:{run_id}"),
    ]

    again = migrate("--rollback", run_id, "--report", tmp_path / "report.json")
    assert again.returncode == 1
    assert read_report(tmp_path / "report.json")["tally"] == {"deleted": 0, "kept": 2, "gone": 28}
    retry = migrate(SHEET, "--credentials", EXPORT, "--report", tmp_path / "report.json")
    assert retry.returncode == 1
    assert read_report(tmp_path / "report.json")["tally"] == {"created": 28, "skipped": 6, "failed": 10}


def test_it_undoes_an_untouched_run_completely(tmp_path: Path) -> None:
    path, credentials = many(tmp_path, 3)
    done = migrate(path, "--credentials", credentials)
    assert done.returncode == 0
    assert migrate("--rollback", run_id_in(done.stdout)).returncode == 0
    assert not Operator.objects.live().exists()


def test_it_carries_on_after_being_killed(process_env: dict[str, str], tmp_path: Path) -> None:
    path, credentials = many(tmp_path, ROWS)
    for target in (3, 8, 13):
        with started(process_env, path, "--credentials", credentials) as process:
            wait_for_operators(target)
            process.send_signal(signal.SIGKILL)
            process.wait()
        assert Operator.objects.count() < ROWS, "the kill came too late to interrupt anything"
    already = Operator.objects.count()
    done = migrate(path, "--credentials", credentials, "--report", tmp_path / "report.json")
    assert done.returncode == 0
    assert read_report(tmp_path / "report.json")["tally"] == {
        "created": ROWS - already,
        "skipped": already,
        "failed": 0,
    }
    operators = Operator.objects.all()
    assert len(operators) == ROWS
    for operator in operators:
        assert operator.status == Status.ACTIVE
        # Created, given its rules, activated: nothing twice, however often the migration was killed.
        assert operator.version == 3
        assert operator.routing_rules.count() == len(operator.legacy_rows.get().prefixes) > 0
        assert operator.password.reveal() == "s3cr3t-8"
        assert operator.legacy_rows.count() == 1


def test_it_finishes_the_row_that_a_killed_run_left_half_done(tmp_path: Path) -> None:
    dead = LegacyRun.objects.create(sheet="sheet.csv", started_at="2026-11-01T00:00Z")
    rows = carriers(3)
    for number, row in enumerate(rows):
        operator = make_operator(
            actor=actor_of(dead.id), name=row["Operator"], host=row["SMPP Host"], port=3550, system_id="comium_80"
        )
        if number == 1:
            actions.update_operator(actor=ALICE, operator_id=operator.id, changes={"notes": "wait for the contract"})
        if number == 2:
            actions.activate_operator(actor=actor_of(dead.id), operator_id=operator.id)
    path, credentials = write_files(tmp_path, sheet(*rows), export_for(rows, password="s3cr3t-8"))

    call_command("migrate_legacy_operators", path, credentials=credentials, dry_run=True, report=tmp_path / "dry.json")
    assert not Operator.objects.filter(name="Carrier 0", status=Status.ACTIVE).exists()
    call_command("migrate_legacy_operators", path, credentials=credentials, report=tmp_path / "real.json")
    report = read_report(tmp_path / "real.json")
    assert report == read_report(tmp_path / "dry.json")
    assert report["tally"] == {"created": 0, "skipped": 3, "failed": 0}
    assert "interrupted run" in report["rows"][0]["reason"]
    assert list(Operator.objects.order_by("name").values_list("status", "version")) == [
        (Status.ACTIVE, 3),
        (Status.INACTIVE, 2),
        (Status.ACTIVE, 3),
    ]
    with_rules = Operator.objects.exclude(routing_rules=None).distinct()
    assert list(with_rules.order_by("name").values_list("name", flat=True)) == ["Carrier 0", "Carrier 2"]
    assert LegacyRow.objects.exclude(operator=None).count() == 3


def test_it_stops_when_vault_is_sealed_and_carries_on_later(
    process_env: dict[str, str], tmp_path: Path, openbao: OpenBao
) -> None:
    path, credentials = many(tmp_path, ROWS)
    report = tmp_path / "report.json"
    with started(process_env, path, "--credentials", credentials, "--report", report) as process:
        wait_for_operators(5)
        openbao.seal()
        try:
            output, errors = process.communicate(timeout=30)
        finally:
            openbao.unseal()
    assert process.returncode == 3
    assert "Run the same command again" in errors and "Traceback" not in errors
    assert "shred -u" in output
    done = read_report(report)["tally"]["created"]
    assert 5 <= done < ROWS
    assert Operator.objects.count() == done
    again = migrate(path, "--credentials", credentials, "--report", report)
    assert again.returncode == 0
    assert read_report(report)["tally"] == {"created": ROWS - done, "skipped": done, "failed": 0}
    assert Operator.objects.filter(status=Status.ACTIVE).count() == ROWS


def test_it_changes_nothing_while_vault_is_sealed_but_still_foretells(
    tmp_path: Path, openbao: OpenBao, capsys: pytest.CaptureFixture[str]
) -> None:
    titles = [*list(GOOD)[:-1], "Owner"]
    data = as_csv([titles, [GOOD.get(title, "Ann") for title in titles]])
    path, credentials = write_files(tmp_path, data, export_for([{}], password="s3cr3t-8"))
    openbao.seal()
    try:
        assert migrate(path, "--credentials", credentials, "--dry-run").returncode == 0
        with pytest.raises(CommandError, match="sealed") as caught:
            migrate(path, "--credentials", credentials, "--report", tmp_path / "report.json")
    finally:
        openbao.unseal()
    assert caught.value.returncode == 3
    assert read_report(tmp_path / "report.json") == {"tally": {"created": 0, "skipped": 0, "failed": 0}, "rows": []}
    assert not Operator.objects.exists()
    assert not CredentialAttempt.objects.exists()
    errors = capsys.readouterr().err
    assert "no column Notes" in errors and "mean nothing here: Owner" in errors


def test_it_stops_between_two_rows_when_asked_to(process_env: dict[str, str], tmp_path: Path) -> None:
    path, credentials = many(tmp_path, ROWS)
    report = tmp_path / "report.json"
    with started(process_env, path, "--credentials", credentials, "--report", report) as process:
        wait_for_operators(3)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 3
    assert "Stopped on request" in errors
    created = read_report(report)["tally"]["created"]
    assert 3 <= created < ROWS
    assert Operator.objects.filter(status=Status.ACTIVE).count() == created == LegacyRow.objects.count()


def test_it_shows_no_password_anywhere(run: Run, tmp_path: Path) -> None:
    rows = [*carriers(2), {"Operator": "Faulty", "SMPP Host": "faulty.example", "TPS": "many"}]
    accounts = [
        *((f"http://{row['SMPP Host']}", "comium_80", CANARY, row["Operator"]) for row in rows),
        ("http://long.example", "comium_80", CANARY * 9, "Long"),
        ("http://double.example", "comium_80", CANARY + "1", "Double"),
        ("http://double.example", "comium_80", CANARY + "2", "Double"),
    ]
    rows += [{"Operator": name, "SMPP Host": f"{name.lower()}.example"} for name in ("Long", "Double", "Lonely")]
    path, credentials = write_files(tmp_path, sheet(*rows), export(*accounts))
    outputs = [run(path, "--credentials", credentials, "--report", tmp_path / "report.json", "--traceback")]
    credentials.write_bytes(export(*accounts) + b'"' + CANARY.encode())
    outputs.append(run(path, "--credentials", credentials, "--traceback"))
    outputs.append(run(credentials, "--credentials", path, "--traceback"))
    assert all("Traceback" in output.stderr for output in outputs[1:])
    report = read_report(tmp_path / "report.json")
    assert [(row["outcome"], row["field"]) for row in report["rows"]] == [
        ("created", ""),
        ("created", ""),
        ("failed", "maxTps"),
        ("failed", "password"),
        ("failed", "password"),
        ("failed", "password"),
    ]
    assert Operator.objects.get(name="Carrier 0").password.reveal() == CANARY
    sinks = [(tmp_path / "report.json").read_text(), *(output.stdout + output.stderr for output in outputs)]
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f'SELECT string_agg(t::text, chr(10)) FROM "{table}" t')  # noqa: S608 - our own table names
            sinks.append(cursor.fetchone()[0] or "")
    for form in (
        CANARY,
        json.dumps(CANARY)[1:-1],
        CANARY.replace("<", "&lt;"),
        base64.b64encode(CANARY.encode()).decode(),
    ):
        assert not any(form in sink for sink in sinks)
    assert any("Carrier 0" in sink for sink in sinks[4:]), "the tables were not searched"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "Give the SHEET"),
        (("{sheet}",), "Give the SHEET"),
        (("{tmp}/none.csv", "--credentials", "{export}"), "none.csv: No such file"),
        (("{sheet}", "--credentials", "{tmp}"), "Is a directory"),
        (("{sheet}", "--credentials", "{export}", "--report", "{tmp}/none/report.json"), "No such file"),
        (("{export}", "--credentials", "{export}"), "the sheet: the header lacks the columns Operator"),
        (("{sheet}", "--credentials", "{sheet}"), "the export: the header lacks the columns url"),
        (("--rollback", "latest"), "There is no run with this id"),
        (("--rollback", "00000000-0000-4000-8000-000000000000"), "There is no run with this id"),
    ],
)
def test_it_refuses_unusable_input_in_one_sentence(tmp_path: Path, arguments: tuple[str, ...], told: str) -> None:
    path, credentials = many(tmp_path, 2)
    filled = [text.format(sheet=path, export=credentials, tmp=tmp_path) for text in arguments]
    with pytest.raises(CommandError, match=told) as caught:
        call_command("migrate_legacy_operators", *filled)
    assert caught.value.returncode == 2
    assert not LegacyRun.objects.exists()


def test_it_creates_nothing_from_a_sheet_that_breaks_off_at_its_end(tmp_path: Path) -> None:
    rows = carriers(2)
    path, credentials = write_files(tmp_path, sheet(*rows) + b'Carrier 3,"open', export_for(rows, password="s3cr3t-8"))
    with pytest.raises(CommandError, match="begins on line 4"):
        call_command("migrate_legacy_operators", path, credentials=credentials)
    assert not Operator.objects.exists()


def test_it_reminds_to_destroy_the_export_even_when_it_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, credentials = many(tmp_path, 1)
    credentials.chmod(0o644)
    call_command("migrate_legacy_operators", path, credentials=credentials)
    with pytest.raises(CommandError):
        call_command("migrate_legacy_operators", credentials, credentials=credentials)
    output, errors = capsys.readouterr()
    assert output.count(f"shred -u {credentials}") == 2
    assert f"chmod 600 {credentials}" in errors


def test_it_reads_both_files_from_pipes(run: Run, tmp_path: Path) -> None:
    path, credentials = many(tmp_path, 2)
    reading, writing = os.pipe()
    os.write(writing, credentials.read_bytes())
    os.close(writing)
    with path.open("rb") as stdin:
        piped = subprocess.Popen(["cat"], stdin=stdin, stdout=subprocess.PIPE)
    assert piped.stdout is not None
    done = run("/dev/stdin", "--credentials", f"/dev/fd/{reading}", stdin=piped.stdout, pass_fds=(reading,))
    os.close(reading)
    piped.stdout.close()
    piped.wait()
    assert done.returncode == 0, done.stderr
    assert Operator.objects.count() == 2


def test_it_lets_one_run_work_at_a_time(run: Run, tmp_path: Path) -> None:
    path, credentials = many(tmp_path, 1)
    with only_run():
        done = run(path, "--credentials", credentials)
    assert done.returncode == 3 and "Another migration" in done.stderr
    assert not LegacyRun.objects.exists()
    assert migrate(path, "--credentials", credentials).returncode == 0


def test_it_takes_an_operator_created_meanwhile_for_a_duplicate(tmp_path: Path) -> None:
    from operators.legacy.lastpass import read_export
    from operators.legacy.migration import Migration
    from operators.legacy.sheet import Sheet

    path, credentials = many(tmp_path, 1)
    run_row = LegacyRun.objects.create(sheet="sheet.csv", started_at="2026-11-01T00:00Z")
    with credentials.open("rb") as stream:
        migration = Migration(keyring=read_export(stream), run=run_row)
    actions.create_operator(
        actor=ALICE,
        values={"name": "carrier 0", "host": "other.example", "system_id": "x", "max_tps": 1},
        password=Secret("s3cr3t-8"),
    )
    with path.open("rb") as stream:
        (row,) = (migration.take(row) for row in Sheet(stream))
    assert (row.outcome, row.field) == ("skipped", "duplicate")
    assert "carrier 0" in row.reason


def test_it_skips_a_duplicate_whatever_else_is_wrong_with_it(tmp_path: Path) -> None:
    first = {"Operator": "First", "SMPP Host": "first.example"}
    rows = [
        {**first, "TPS": "none"},  # failed, so that it takes no place
        first,
        {**first, "Operator": "", "TPS": "none"},  # same endpoint
        {**first, "Operator": "FIRST", "SMPP Host": "not a host", "Burst": "0"},  # same name
        {**first, "Operator": "Second", "Port": "x"},  # neither can be said
        {**first, "Operator": "Third", "SMPP Host": "smpp://FIRST.example:3550", "Port": ""},  # same endpoint
        {**first, "Operator": "Fourth", "System ID": "COMIUM_80"},  # another account at the same host
    ]
    accounts = [("first.example", system_id, "s3cr3t-8", "") for system_id in ("comium_80", "COMIUM_80")]
    path, credentials = write_files(tmp_path, sheet(*rows), export(*accounts))
    with pytest.raises(SystemExit) as caught:
        call_command("migrate_legacy_operators", path, credentials=credentials, report=tmp_path / "report.json")
    assert caught.value.code == 1
    assert [(row["outcome"], row["field"]) for row in read_report(tmp_path / "report.json")["rows"]] == [
        ("failed", "maxTps"),
        ("created", ""),
        ("skipped", "duplicate"),
        ("skipped", "duplicate"),
        ("failed", "port"),
        ("skipped", "duplicate"),
        ("created", ""),
    ]
    assert GOOD["System ID"] == Operator.objects.get(name="First").system_id
