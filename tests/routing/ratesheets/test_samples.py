"""The sample sheets that come with the development stack, and what must become of each line."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from routing.ratesheets.lines import PriceLine, RejectedLine
from tests.routing.ratesheets.sheets import DECEMBER, read

ROOT = Path(__file__).parents[3]
SHEETS = ROOT / "deploy" / "dev" / "sample" / "rate_sheets"
EXPECTED: dict[str, Any] = json.loads((ROOT / "tests" / "data" / "rate_expected.json").read_text())


@pytest.mark.parametrize("name", EXPECTED)
def test_it_rejects_the_expected_lines_and_no_others(name: str) -> None:
    lines = read((SHEETS / name).read_bytes(), name)

    assert len(lines) == EXPECTED[name]["rows"]
    assert {str(line.line): line.field for line in lines if isinstance(line, RejectedLine)} == EXPECTED[name][
        "rejected_lines"
    ]


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("0_comium22.csv", PriceLine(2, "+51900", "", "", Decimal("0.04141"), "EUR", DECEMBER, None)),
        ("1_bws30.xlsx", PriceLine(2, "+45201", "", "", Decimal("0.06231"), "EUR", DECEMBER, None)),
        ("2_inwi21.csv", PriceLine(2, "+45201", "", "", Decimal("0.07269"), "EUR", DECEMBER, None)),
    ],
)
def test_it_reads_every_other_line_in_the_same_form(name: str, first: PriceLine) -> None:
    prices = [line for line in read((SHEETS / name).read_bytes(), name) if isinstance(line, PriceLine)]

    assert prices[0] == first
    assert {(price.currency, price.effective_from) for price in prices} == {("EUR", datetime(2026, 12, 1, tzinfo=UTC))}
    assert all(0 < price.cost < 1 for price in prices)
