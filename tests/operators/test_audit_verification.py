"""What verify_audit finds of what an intruder with a superuser's rights can do, and what it needs help for."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any, Final

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from operators import actions, audit
from operators.actors import Actor
from operators.chain import AUDIT, CHAINS, READS
from operators.models import AuditEntry, CredentialRead, Operator
from operators.trail import stored_rows
from tests.factories import make_operator
from tests.flushing import as_intruder

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def operator(actor: Actor) -> Operator:
    """An operator with five entries and four reads of its password."""
    operator = make_operator(name="Comium", notes='Größe "1" \\ ☎')
    for number in range(4):
        actions.update_operator(
            actor=actor, operator_id=operator.pk, changes={"max_tps": 200 + number}, reason=f"CHG-{number}"
        )
        audit.record_credential_read(
            operator_id=operator.pk,
            credential_version=1,
            caller="smpp-connector",
            identity="spiffe://ops.local/ns/sms/sa/smpp-connector",
            result="ok",
            at=timezone.now(),
        )
    return operator


def verify(*arguments: str) -> tuple[int, dict[str, Any]]:
    """Run the command and return its exit code and what it says as JSON."""
    out = StringIO()
    try:
        call_command("verify_audit", "--json", *arguments, stdout=out, stderr=StringIO())
    except CommandError as error:
        return error.returncode, json.loads(out.getvalue() or "{}")
    return 0, json.loads(out.getvalue())


def first_break(*arguments: str) -> tuple[str, str, int | None, int | None]:
    code, told = verify(*arguments)
    assert code == 1 and told["isWhole"] is False
    [found] = told["breaks"]
    return found["chain"], found["fault"], found["sequence"], found["id"]


def tamper(sql: str, *values: Any) -> None:
    with as_intruder(), connection.cursor() as cursor:
        cursor.execute(sql, values)


def id_at(sequence: int, model: type[AuditEntry] | type[CredentialRead] = AuditEntry) -> int:
    return int(model._default_manager.get(sequence=sequence).pk)


def head(model: type[AuditEntry] | type[CredentialRead] = AuditEntry) -> str:
    last = model._default_manager.order_by("-sequence")[0]
    return f"{last.sequence}:{last.hash}"


def test_it_finds_an_untouched_trail_whole_and_tells_its_heads(operator: Operator) -> None:
    code, told = verify()

    assert (code, told["isWhole"], told["breaks"]) == (0, True, [])
    assert [(each["chain"], each["rows"]) for each in told["chains"]] == [("audit", 5), ("reads", 4)]
    audit_head, reads_head = (f"{each['head']['sequence']}:{each['head']['hash']}" for each in told["chains"])
    assert (audit_head, reads_head) == (head(), head(CredentialRead))


def test_it_prints_the_heads_and_logs_them(operator: Operator, caplog: pytest.LogCaptureFixture) -> None:
    out = StringIO()
    with caplog.at_level("INFO"):
        call_command("verify_audit", stdout=out)

    assert f"audit: 5 rows hold, head {head()}" in out.getvalue()
    assert head() in {getattr(record, "head", "") for record in caplog.records}


def test_it_holds_for_a_trail_without_a_row() -> None:
    assert verify()[0] == 0


@pytest.mark.parametrize(
    ("change", "sequence"),
    [
        ("UPDATE operators_auditentry SET actor = 'bob' WHERE sequence = 3", 3),
        ("UPDATE operators_auditentry SET reason = reason || ' ' WHERE sequence = 2", 2),
        ("UPDATE operators_auditentry SET at = at + interval '1 microsecond' WHERE sequence = 5", 5),
        ("UPDATE operators_auditentry SET changes = '{}' WHERE sequence = 4", 4),
        ("UPDATE operators_auditentry SET changes = jsonb_set(changes, '{tpsLimit.maxTps,1}', '201.0') WHERE id ="
         " (SELECT id FROM operators_auditentry WHERE sequence = 3)", 3),
        ("UPDATE operators_auditentry SET operator_id = NULL WHERE sequence = 1", 1),
        ("UPDATE operators_auditentry SET previous_hash = repeat('0', 64) WHERE sequence = 3", 3),
        ("UPDATE operators_auditentry SET hash = repeat('0', 64) WHERE sequence = 5", 5),
    ],
)  # fmt: skip
def test_it_names_the_row_that_was_changed(operator: Operator, change: str, sequence: int) -> None:
    tamper(change)

    assert first_break() == ("audit", "CHANGED", sequence, id_at(sequence))


def test_it_hashes_every_column_but_the_hash() -> None:
    for chain, model in ((AUDIT, AuditEntry), (READS, CredentialRead)):
        columns = {field.column for field in model._meta.concrete_fields}
        assert columns - {"sequence", "previous_hash", "hash"} == set(chain.columns)


def test_it_notices_a_change_behind_triggers_that_were_off_for_a_moment(operator: Operator) -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE operators_auditentry DISABLE TRIGGER USER")
        cursor.execute("UPDATE operators_auditentry SET actor = 'bob' WHERE sequence = 2")
        cursor.execute("ALTER TABLE operators_auditentry ENABLE TRIGGER USER")

    assert first_break() == ("audit", "CHANGED", 2, id_at(2))


def test_it_notices_a_read_that_was_given_another_reader(operator: Operator) -> None:
    tamper("UPDATE operators_credentialread SET caller = 'routing-engine' WHERE sequence = 3")

    assert first_break() == ("reads", "CHANGED", 3, id_at(3, CredentialRead))
    assert verify("--chain", "audit")[0] == 0


def test_it_notices_a_row_that_was_taken_out_of_the_middle(operator: Operator) -> None:
    tamper("DELETE FROM operators_auditentry WHERE sequence IN (2, 3)")

    assert first_break() == ("audit", "MISSING", 2, None)


def test_it_notices_a_gap_that_was_closed_again(operator: Operator) -> None:
    """The intruder renumbers what follows, and even gives each row the hash of what it now says."""
    tamper("DELETE FROM operators_auditentry WHERE sequence = 2")
    for sequence in (3, 4, 5):
        tamper("UPDATE operators_auditentry SET sequence = %s WHERE sequence = %s", sequence - 1, sequence)
        row = next(row for row in stored_rows(AUDIT) if row["sequence"] == sequence - 1)
        tamper("UPDATE operators_auditentry SET hash = %s WHERE sequence = %s", AUDIT.hash_of(row), sequence - 1)

    assert first_break() == ("audit", "WRONG_LINK", 2, id_at(2))


def test_it_notices_two_rows_that_changed_places(operator: Operator) -> None:
    for number, new in ((2, 99), (3, 2), (99, 3)):
        tamper("UPDATE operators_auditentry SET sequence = %s WHERE sequence = %s", new, number)

    assert first_break() == ("audit", "CHANGED", 2, id_at(2))


def forge(row_at: int, **values: object) -> None:
    """Add a copy of a row that says something else, with the hash that belongs to it."""
    row = next(row for row in stored_rows(AUDIT) if row["sequence"] == row_at) | values
    row["hash"] = AUDIT.hash_of(row)
    stored = {**row, "changes": "{}"}
    tamper(
        "INSERT INTO operators_auditentry ({}) VALUES ({})".format(  # noqa: S608
            ", ".join(stored), ", ".join(["%s"] * len(stored))
        ),
        *stored.values(),
    )


def test_it_notices_a_forged_row_at_the_end(operator: Operator) -> None:
    forge(5, id=9_000, sequence=6, changes={}, actor="mallory")

    assert first_break() == ("audit", "WRONG_LINK", 6, 9_000)


def test_it_notices_a_row_that_shares_a_number(operator: Operator) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DROP INDEX auditentry_sequence")
    forge(3, id=9_000, changes={}, actor="mallory")

    try:
        assert first_break() == ("audit", "MISPLACED", 3, 9_000)
    finally:
        tamper("DELETE FROM operators_auditentry WHERE id = 9000")
        with connection.cursor() as cursor:
            cursor.execute(
                "CREATE UNIQUE INDEX auditentry_sequence ON operators_auditentry (sequence) WHERE sequence IS NOT NULL"
            )


def test_it_notices_a_row_outside_the_chain(operator: Operator) -> None:
    tamper("UPDATE operators_auditentry SET sequence = NULL WHERE sequence = 5")

    assert first_break() == ("audit", "UNCHAINED", None, AuditEntry.objects.get(sequence=None).pk)


def test_it_needs_an_earlier_head_to_notice_a_tail_that_was_cut_off(operator: Operator) -> None:
    known = head()
    tamper("DELETE FROM operators_auditentry WHERE sequence >= 4")

    assert verify()[0] == 0
    assert first_break("--expect-head", f"audit:{known}") == ("audit", "HEAD", 5, None)


def test_it_needs_an_earlier_head_to_notice_a_chain_that_was_made_anew(operator: Operator, actor: Actor) -> None:
    known = head()
    tamper("UPDATE operators_auditentry SET actor = 'bob' WHERE sequence = 1")
    relink()

    assert verify()[0] == 0
    assert first_break("--expect-head", known, "--chain", "audit") == ("audit", "HEAD", 5, id_at(5))


def relink() -> None:
    previous = None
    for row in list(stored_rows(AUDIT)):
        if previous:
            row["previous_hash"] = previous
        previous = row["hash"] = AUDIT.hash_of(row)
        tamper(
            "UPDATE operators_auditentry SET previous_hash = %s, hash = %s WHERE id = %s",
            row["previous_hash"], row["hash"], row["id"],
        )  # fmt: skip


def test_it_accepts_a_head_that_the_chain_has_outgrown(operator: Operator, actor: Actor) -> None:
    known, reads = head(), head(CredentialRead)
    actions.activate_operator(actor=actor, operator_id=operator.pk)

    code, told = verify("--expect-head", f"audit:{known}", "--expect-head", f"reads:{reads}")

    assert (code, told["chains"][0]["rows"]) == (0, 6)


ENABLED: Final = "ALTER TABLE operators_auditentry ENABLE TRIGGER audit_keep"


@pytest.mark.parametrize(
    ("change", "undo", "told"),
    [
        ("ALTER TABLE operators_auditentry DISABLE TRIGGER audit_keep", ENABLED, "audit_keep is disabled"),
        ("ALTER TABLE operators_auditentry ENABLE REPLICA TRIGGER audit_keep", ENABLED, "audit_keep is disabled"),
        ("ALTER TRIGGER audit_link ON operators_auditentry RENAME TO other",
         "ALTER TRIGGER other ON operators_auditentry RENAME TO audit_link", "audit_link is missing"),
        ("CREATE TRIGGER zz BEFORE INSERT ON operators_auditentry FOR EACH ROW EXECUTE FUNCTION keep_audit()",
         "DROP TRIGGER zz ON operators_auditentry", "zz is none of ours"),
        ("CREATE RULE hush AS ON INSERT TO operators_auditentry DO INSTEAD NOTHING",
         "DROP RULE hush ON operators_auditentry", "the rule hush is none of ours"),
        ("ALTER FUNCTION keep_audit() SET work_mem = '64kB'", "ALTER FUNCTION keep_audit() RESET work_mem",
         "calls keep_audit, whose source differs"),
    ],
)  # fmt: skip
def test_it_names_a_guard_that_is_not_as_it_was_put(operator: Operator, change: str, undo: str, told: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(change)
    try:
        code, said = verify("--chain", "audit")
    finally:
        with connection.cursor() as cursor:
            cursor.execute(undo)

    assert code == 1
    assert {each["fault"] for each in said["breaks"]} == {"TRIGGER"}
    assert any(told in each["detail"] for each in said["breaks"])
    assert verify()[0] == 0


def test_it_names_a_function_whose_body_was_replaced(operator: Operator) -> None:
    from operators.chain import FUNCTIONS

    replace = "CREATE OR REPLACE FUNCTION keep_audit() RETURNS trigger LANGUAGE plpgsql AS $x${}$x$"
    with connection.cursor() as cursor:
        cursor.execute(replace.format(" BEGIN RETURN COALESCE(NEW, OLD); END "))
    try:
        code, said = verify()
    finally:
        with connection.cursor() as cursor:
            cursor.execute(replace.format(FUNCTIONS["keep_audit"]))

    assert code == 1
    assert {each["chain"] for each in said["breaks"]} == {"audit", "reads"}
    assert all("whose source differs" in each["detail"] for each in said["breaks"])


@pytest.mark.parametrize("given", ["5", "5:abc", "nobody:5:" + "a" * 64, "5:" + "a" * 64])
def test_it_cannot_tell_with_a_head_that_is_none(given: str) -> None:
    assert verify("--expect-head", given)[0] == 2


def export(tmp_path: Path, *arguments: str) -> Path:
    file = tmp_path / f"audit{len(list(tmp_path.iterdir()))}.jsonl"
    call_command("export_audit", "--output", str(file), *arguments)
    return file


def test_it_exports_what_can_be_verified_without_a_database(
    operator: Operator, tmp_path: Path, django_assert_num_queries: Callable[[int], Any]
) -> None:
    file = export(tmp_path)

    assert file.stat().st_mode & 0o777 == 0o600
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line.get("chain") for line in lines] == [None, *["audit"] * 5, *["reads"] * 4, None]
    assert lines[2]["changes"] == {"tpsLimit.maxTps": [100, 200]} and lines[2]["reason"] == "CHG-0"
    assert lines[-1] == {
        "end": {"audit": {"rows": 5, "head": head()}, "reads": {"rows": 4, "head": head(CredentialRead)}}
    }
    known = head()
    with django_assert_num_queries(0):
        code, told = verify("--file", str(file), "--expect-head", f"audit:{known}")
    assert (code, [each["rows"] for each in told["chains"]]) == (0, [5, 4])


def test_it_exports_to_stdout(operator: Operator) -> None:
    out = StringIO()
    call_command("export_audit", "--chain", "reads", stdout=out)

    assert len(out.getvalue().splitlines()) == 6


def test_it_verifies_an_export_that_another_programme_wrote_anew(operator: Operator, tmp_path: Path) -> None:
    file = export(tmp_path)
    rewritten = [json.dumps(json.loads(line), sort_keys=True) for line in file.read_text().splitlines()]
    file.write_text("\n".join(rewritten) + "\n")

    assert verify("--file", str(file))[0] == 0


@pytest.mark.parametrize(
    ("change", "fault", "sequence"),
    [
        (lambda lines: [line.replace("CHG-2", "CHG-9") for line in lines], "CHANGED", 4),
        (lambda lines: lines[:3] + lines[4:], "MISSING", 3),
        (lambda lines: [*lines[:2], lines[3], lines[2], *lines[4:]], "MISSING", 2),
        (lambda lines: lines[:-1], "FILE", None),
        (lambda lines: lines[:-3] + lines[-1:], "MISSING", None),
        (lambda lines: [*lines, lines[1]], "FILE", None),
        (lambda lines: [*lines[:3], "{", *lines[3:]], "FILE", None),
        (lambda lines: [*lines[:3], '{"chain": "other"}', *lines[3:]], "FILE", None),
        (lambda lines: [*lines[:3], "[" * 100_000, *lines[3:]], "FILE", None),
        (lambda lines: [re.sub('"format": 1', '"format": 2', line) for line in lines], "FILE", None),
        (lambda lines: [], "FILE", None),
    ],
)
def test_it_names_what_is_wrong_with_a_file(
    operator: Operator, tmp_path: Path, change: Callable[[list[str]], list[str]], fault: str, sequence: int | None
) -> None:
    file = export(tmp_path)
    file.write_text("".join(line + "\n" for line in change(file.read_text().splitlines())))

    _, found, at, _ = first_break("--file", str(file))

    assert (found, at) == (fault, sequence)


def test_it_exports_a_selection_whose_rows_can_be_verified(operator: Operator, tmp_path: Path, actor: Actor) -> None:
    actions.activate_operator(actor=actor, operator_id=make_operator().pk)
    actions.activate_operator(actor=actor, operator_id=operator.pk)
    moment = AuditEntry.objects.get(sequence=3).at.isoformat()

    of_one = export(tmp_path, "--operator", str(operator.pk), "--chain", "audit")
    since = export(tmp_path, "--from", moment, "--chain", "audit")
    until = export(tmp_path, "--to", moment, "--chain", "audit")
    never = export(tmp_path, "--from", "2020-01-01", "--to", "2020-01-02")

    def rows(file: Path) -> list[int]:
        code, told = verify("--file", str(file))
        assert code == 0
        return [each["rows"] for each in told["chains"]]

    assert (rows(of_one), rows(since), rows(until), rows(never)) == ([6], [6], [2], [0, 0])
    of_one.write_text(of_one.read_text().replace('"reason": "CHG-1"', '"reason": "CHG-7"'))
    assert first_break("--file", str(of_one))[1] == "CHANGED"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--from", "yesterday"],
        ["--to", "2026-11-01T00:00:00"],
        ["--from", "2026-13-01"],
        ["--to", "9999-12-31T23:59:59-01:00"],
        ["--operator", "x"],
        ["--output", "/"],
        ["--output", "/nowhere/at/all"],
    ],
)
def test_it_refuses_to_export_what_it_does_not_understand(arguments: list[str]) -> None:
    with pytest.raises(CommandError) as refused:
        call_command("export_audit", *arguments)

    assert refused.value.returncode == 2


def test_it_says_when_a_file_does_not_hold_what_was_asked_for(operator: Operator, tmp_path: Path) -> None:
    file = export(tmp_path, "--chain", "reads")

    assert verify("--file", str(file), "--expect-head", f"audit:{head()}")[0] == 2
    assert verify("--file", str(tmp_path / "none"))[0] == 2


def test_it_writes_json_as_postgresql_does(operator: Operator) -> None:
    odd = {"bb": 1, "a": [1.50, 1e-9, 10**30, -0.0, True, None], "é": 'x"\\\n\x01\x7f\u2028😀', "B": {"": {}}, "z": []}
    with connection.cursor() as cursor:
        cursor.execute("SELECT %s::jsonb::text", [json.dumps(odd)])
        [(text,)] = cursor.fetchall()

    from operators.chain import as_jsonb
    from operators.trail import parse

    assert as_jsonb(parse(text)) == text
    assert set(CHAINS) == {"audit", "reads"}
