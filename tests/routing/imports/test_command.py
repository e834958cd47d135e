from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from config.env import BASE_DIR
from operators.models import Operator
from routing.models import RateSheet, RateSheetLine, RoutingRule
from tests.factories import make_operator
from tests.routing.cast import make_rule
from tests.routing.imports.cast import content, prices, row, snapshot

pytestmark = pytest.mark.django_db(transaction=True)

SHEETS = BASE_DIR / "deploy" / "dev" / "sample" / "rate_sheets"
EXPECTED: dict[str, Any] = json.loads((BASE_DIR / "tests" / "data" / "rate_expected.json").read_text())
COMMAND = (sys.executable, str(BASE_DIR / "manage.py"), "import_rate_sheet")
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(process_env: dict[str, str]) -> Run:
    """Run the command as a process of its own, as staff do."""

    def start(*arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, *map(str, arguments)], env=process_env, capture_output=True, text=True, timeout=60
        )

    return start


def call(*arguments: object) -> tuple[int, str, str]:
    """Run the command here, where coverage sees it: exit code, what it says, and what it complains of."""
    said = StringIO()
    try:
        call_command("import_rate_sheet", *map(str, arguments), stdout=said, stderr=StringIO())
    except CommandError as error:
        return error.returncode, said.getvalue(), str(error)
    except SystemExit as end:
        return int(end.code or 0), said.getvalue(), ""
    return 0, said.getvalue(), ""


@pytest.fixture
def file(tmp_path: Path) -> Callable[..., Path]:
    def write(*rows: str) -> Path:
        path = tmp_path / "prices.csv"
        path.write_bytes(content(*rows))
        return path

    return write


@pytest.mark.parametrize("name", EXPECTED)
def test_it_rejects_exactly_the_lines_of_the_samples_that_are_wrong(name: str, run: Run, tmp_path: Path) -> None:
    expected = EXPECTED[name]
    operator = make_operator(name=expected["operator"])
    report = tmp_path / "report.json"

    code, said, complaint = call(expected["operator"].upper(), SHEETS / name, "--dry-run", "--report", report)

    assert code == 1, complaint
    found = json.loads(report.read_text())
    assert found["rejected"] == expected["rejected_lines"]
    assert (found["operator"], found["file"], found["dryRun"]) == (expected["operator"], name, True)
    assert (found["rows"], found["counts"]["rejected"]) == (expected["rows"], len(expected["rejected_lines"]))
    assert found["details"]["sheetId"] is None
    assert "Dry run: nothing was changed." in said
    assert not RateSheet.objects.exists()
    assert not RateSheetLine.objects.exists()

    real = run(operator.pk, SHEETS / name, "--report", report)

    assert real.returncode == 1, real.stderr
    found = json.loads(report.read_text())
    assert found["rejected"] == expected["rejected_lines"]
    assert RoutingRule.objects.count() == expected["rows"] - len(expected["rejected_lines"])
    operator.refresh_from_db()
    assert (operator.version, found["details"]["version"]) == (2, 2)

    undone = run("--undo", found["details"]["sheetId"])

    assert undone.returncode == 0, undone.stderr
    assert not RoutingRule.objects.exists()


def test_it_tells_in_words_what_it_does_and_undoes_it(file: Callable[..., Path]) -> None:
    operator = make_operator(name="Élan Mobile")
    make_rule(operator, prefix="+441", cost_per_segment=Decimal("0.04"))
    make_rule(operator, prefix="+442")
    before = snapshot(operator)
    sheet = file(row("+441", "0.05"), row("+443", "0.01", currency="", start=None), row("+444", "free"))
    arguments = ("élan mobile", sheet, "--currency", "gbp", "--effective-from", "2126-12-24")

    code, words, _ = call(*arguments, "--dry-run")

    assert (code, snapshot(operator)) == (1, before)
    assert "Dry run: nothing was changed." in words
    code, words, _ = call(*arguments)
    assert code == 1
    assert "dearer                   1" in words
    assert "+441 from 0.040000 EUR to 0.050000 EUR (+25.00 %)" in words
    assert "(stays as it is; --full ends it)" in words
    assert "line 4       cost           'free'" in words
    imported = RateSheet.objects.get()
    assert imported.applied_by.startswith("import:")
    assert "+443: 0.010000 GBP, priority 10, weight 100, 2126-12-24T00:00Z/" in prices(operator)
    assert f"--undo {imported.pk}" in words

    code, words, _ = call("--undo", imported.pk)

    assert (code, words) == (0, "Undone: 2 prices deleted, 1 restored (Élan Mobile, prices.csv).\n")
    assert snapshot(operator) == before


def test_it_names_the_first_rejected_lines_and_counts_the_others(file: Callable[..., Path]) -> None:
    _, words, _ = call(
        make_operator().pk, file(*(row(f"+44{number}", "free") for number in range(10, 70))), "--dry-run"
    )

    assert "line 51 " in words
    assert "line 52 " not in words
    assert "and 10 more; --report writes all of them." in words


def test_it_ends_what_a_full_sheet_does_not_name(file: Callable[..., Path]) -> None:
    operator = make_operator()
    make_rule(operator)

    assert call(operator.pk, file(row("+441", "0.05")), "--full")[0] == 0

    assert prices(operator)[1] == "+4479: 0.041500 EUR, priority 10, weight 100, /2126-12-01T00:00Z"


def test_large_changes_are_refused_until_they_are_confirmed(file: Callable[..., Path], tmp_path: Path) -> None:
    operator = make_operator()
    make_rule(operator, cost_per_segment=Decimal("0.04"))
    before = snapshot(operator)
    sheet, report = file(row("+4479", "0.4")), tmp_path / "report.json"

    code, _, complaint = call(operator.pk, sheet, "--report", report)

    assert code == 2
    assert "+4479 from 0.040000 EUR to 0.400000 EUR (+900.00 %)" in complaint
    assert "(--confirm-large-changes)" in complaint
    assert json.loads(report.read_text())["details"]["refused"]["code"] == "RATE_CHANGE_UNCONFIRMED"
    assert snapshot(operator) == before
    assert not RateSheet.objects.exists()
    assert call(operator.pk, sheet, "--confirm-large-changes")[0] == 0
    assert len(prices(operator)) == 2


def test_a_sheet_of_which_nothing_is_left_is_unusable(file: Callable[..., Path]) -> None:
    code, _, complaint = call(make_operator().pk, file(row("+441", "free")))

    assert (code, complaint) == (2, "file: No line of the sheet can be applied.")


def test_it_says_what_is_wrong_with_its_arguments(file: Callable[..., Path], tmp_path: Path) -> None:
    operator, sheet = make_operator(), file(row("+441", "0.05"))
    empty = tmp_path / "empty.csv"
    empty.touch()
    for arguments, words in (
        ((), "Give the OPERATOR and the FILE"),
        ((operator.pk,), "Give the OPERATOR and the FILE"),
        (("Nobody", sheet), "no operator called 'Nobody'"),
        (("9b1c2f6a-0000-4000-8000-000000000000", sheet), "There is no such operator"),
        ((operator.pk, tmp_path / "missing.csv"), "No such file"),
        ((operator.pk, tmp_path), "Is a directory"),
        ((operator.pk, empty), "file: "),
        ((operator.pk, sheet, "--report", tmp_path / "nowhere" / "report.json"), "No such file"),
        ((operator.pk, sheet, "--currency", "XXY"), "currency: "),
        (("--undo", "me"), "no such rate sheet"),
    ):
        with pytest.raises(CommandError, match=re.escape(words)) as refused:
            call_command("import_rate_sheet", *map(str, arguments))
        assert refused.value.returncode == 2, arguments
    assert not RateSheet.objects.exists()
    assert not RoutingRule.objects.exists()


def test_it_stops_between_two_batches_and_changes_nothing(process_env: dict[str, str], tmp_path: Path) -> None:
    operator = make_operator()
    path = tmp_path / "prices.csv"
    path.write_bytes(content(*(row(f"+44{number}", "0.01") for number in range(100_000, 300_000))))
    process = subprocess.Popen([*COMMAND, str(operator.pk), str(path)], env=process_env, stderr=subprocess.PIPE)
    while not RateSheet.objects.filter(progress__gt=0).exists():
        assert process.poll() is None
        time.sleep(0.05)

    os.kill(process.pid, signal.SIGTERM)
    _, words = process.communicate(timeout=60)

    assert process.returncode == 3
    assert b"Stopped on request; nothing was changed." in words
    assert not RateSheet.objects.exists()
    assert not RoutingRule.objects.exists()


def test_a_database_that_is_away_is_no_traceback(process_env: dict[str, str], file: Callable[..., Path]) -> None:
    operator: Operator = make_operator()
    done = subprocess.run(
        [*COMMAND, str(operator.pk), str(file(row("+441", "0.05")))],
        env={**process_env, "DATABASE_URL": "postgres://nobody@127.0.0.1:1/none"},
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode == 3
    assert "The database does not answer." in done.stderr
    assert "Traceback" not in done.stderr
