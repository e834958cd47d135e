"""The migration's report: its two forms, and that the file appears whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from operators.legacy.report import Report, ReportRow

OUTCOMES = ("created", "failed")
ROWS = (ReportRow(2, "Æther +1", "created", warnings=("look",)), ReportRow(4, "B", "failed", "port", "The port is…"))


def test_it_writes_tally_and_rows(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text("an older report")
    with Report(outcomes=OUTCOMES, path=path) as report:
        for row in ROWS:
            report.add(row)
        assert path.read_text() == "an older report"
        report.write()
    assert json.loads(path.read_bytes()) == {
        "tally": {"created": 1, "failed": 1},
        "rows": [
            {"line": 2, "name": "Æther +1", "outcome": "created", "field": "", "reason": ""},
            {"line": 4, "name": "B", "outcome": "failed", "field": "port", "reason": "The port is…"},
        ],
    }
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.json"]


def test_it_writes_an_empty_report_too(tmp_path: Path) -> None:
    with Report(outcomes=OUTCOMES, path=tmp_path / "report.json") as report:
        report.write()
    assert json.loads((tmp_path / "report.json").read_bytes()) == {"tally": {"created": 0, "failed": 0}, "rows": []}


def test_it_leaves_nothing_behind_when_it_was_not_written(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), Report(outcomes=OUTCOMES, path=tmp_path / "report.json") as report:
        report.add(ROWS[0])
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", ["missing/report.json", "."])
def test_it_knows_a_wrong_place_before_the_work_begins(tmp_path: Path, place: str) -> None:
    with pytest.raises(OSError), Report(outcomes=OUTCOMES, path=tmp_path / place):
        pytest.fail("the work began")


def test_it_writes_through_to_what_is_no_file() -> None:
    with Report(outcomes=OUTCOMES, path=Path("/dev/null")) as report:
        report.add(ROWS[0])
        report.write()
    assert Path("/dev/null").is_char_device()


def test_it_shows_a_row_to_people() -> None:
    assert ROWS[1].as_text().split() == ["4", "failed", "B", "port:", "The", "port", "is…"]
    created = ROWS[0].as_text().splitlines()
    assert created[0].endswith("Æther +1") and created[1].strip() == "! look"
    long = ReportRow(7, "x" * 99 + "\x1b[2J", "created").as_text()
    assert "\x1b" not in long and len(long) < 60
