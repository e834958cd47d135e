"""Small sheets and exports for the migration's tests, and where the sample files lie."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final, TypedDict

from config.env import BASE_DIR

SAMPLE: Final = BASE_DIR / "deploy" / "dev" / "sample"
SHEET: Final = SAMPLE / "legacy_operators.csv"
EXPORT: Final = SAMPLE / "lastpass_export.csv"
GOOD: Final = {
    "Operator": "Comium +22",
    "SMPP Host": "smpp4.comium22.example",
    "Port": "3550",
    "System ID": "comium_80",
    "System Type": "",
    "Bind": "RX",
    "TPS": "10",
    "Burst": "2",
    "On limit": "",
    "Status": "off",
    "Prefixes": "+2206; +22084",
    "Cost/SMS": "0.04906",
    "Currency": "GBP",
    "MCC": "",
    "MNC": "",
    "Contact": "noc@comium.example",
    "Notes": "peak hours only",
}


class ExpectedRow(TypedDict):
    """What the sample's expectation says of a row; `reason` is the field at fault."""

    name: str
    outcome: str
    host: str
    port: int
    systemId: str
    maxTps: int
    prefixes: int
    reason: str
    password: str


def expected_rows() -> list[ExpectedRow]:
    rows: list[ExpectedRow] = json.loads((BASE_DIR / "tests/data/legacy_expected.json").read_text())["rows"]
    return rows


def as_csv(rows: Sequence[Sequence[str]], *, delimiter: str = ",", newline: str = "\r\n") -> bytes:
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter, lineterminator=newline).writerows(rows)
    return out.getvalue().encode()


def sheet(*rows: dict[str, str], delimiter: str = ",", newline: str = "\r\n") -> bytes:
    """Build a sheet of good rows with the given cells changed."""
    filled = [list((GOOD | row).values()) for row in rows]
    return as_csv([list(GOOD), *filled], delimiter=delimiter, newline=newline)


def carriers(count: int, *, status: str = "live") -> list[dict[str, str]]:
    """Build the cells in which carriers differ from each other."""
    return [
        {"Operator": f"Carrier {number}", "SMPP Host": f"smpp{number}.carrier.example", "Status": status}
        for number in range(count)
    ]


def export(*accounts: tuple[str, str, str, str]) -> bytes:
    """Build an export of (url, username, password, name)."""
    rows = [(url, user, password, "", "", name, "SMPP", "0") for url, user, password, name in accounts]
    return as_csv([("url", "username", "password", "totp", "extra", "name", "grouping", "fav"), *rows])


def export_for(rows: Sequence[dict[str, str]], *, password: str) -> bytes:
    full = [GOOD | row for row in rows]
    return export(*((f"http://{row['SMPP Host']}", row["System ID"], password, row["Operator"]) for row in full))


def write_files(directory: Path, sheet_bytes: bytes, export_bytes: bytes) -> tuple[Path, Path]:
    sheet_path, export_path = directory / "sheet.csv", directory / "export.csv"
    sheet_path.write_bytes(sheet_bytes)
    export_path.write_bytes(export_bytes)
    export_path.chmod(0o600)
    return sheet_path, export_path
