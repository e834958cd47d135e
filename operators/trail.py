"""Read the rows of a chain in its order, from the database or from an export, with what their hash is made of."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from django.db import connection

from operators.chain import Chain, as_jsonb
from operators.wire import rfc3339

BATCH: Final = 1000
FORMAT: Final = 1
_DECODER: Final = json.JSONDecoder(parse_float=Decimal, parse_int=Decimal)
# What cannot be told apart in a database's text from what it is: read as text, and put into its form here.
_READ: Final = {"operator_id": "operator_id::text", "changes": "changes::text"}
# An export's names; a column that is not here has its own.
_WIRE: Final = {
    "previous_hash": "previousHash",
    "operator_id": "operatorId",
    "object_type": "objectType",
    "object_id": "objectId",
    "credential_version": "credentialVersion",
    "trace_id": "traceId",
}

Row = dict[str, Any]


@dataclass(frozen=True)
class Selection:
    """Which rows are wanted; the default is all of them."""

    since: datetime | None = None
    until: datetime | None = None
    operator_id: UUID | None = None

    @property
    def is_all(self) -> bool:
        return self == Selection()

    def conditions(self) -> Iterator[tuple[str, datetime | UUID]]:
        if self.since is not None:
            yield "at >= %s", self.since
        if self.until is not None:
            yield "at < %s", self.until
        if self.operator_id is not None:
            yield "operator_id = %s", self.operator_id

    def as_json(self) -> dict[str, str | None]:
        return {
            "from": rfc3339(self.since) if self.since else None,
            "to": rfc3339(self.until) if self.until else None,
            "operatorId": str(self.operator_id) if self.operator_id else None,
        }


ALL: Final = Selection()


def columns_of(chain: Chain) -> tuple[str, ...]:
    return ("sequence", "previous_hash", "hash", *chain.columns)


def stored_rows(chain: Chain, selection: Selection = ALL) -> Iterator[Row]:
    """Read a chain 1,000 rows at a time, each in a statement of its own, so that no long one holds vacuum up.

    Nothing is missed: who commits later has the higher number.
    """
    columns = columns_of(chain)
    wanted = list(selection.conditions())
    after: tuple[int, int] | None = None
    while True:
        conditions = ["sequence IS NOT NULL", *(text for text, _ in wanted)]
        values: list[Any] = [value for _, value in wanted]
        if after is not None:
            conditions.append("(sequence, id) > (%s, %s)")
            values += after
        # The names are ours, the values parameters.
        query = (
            f"SELECT {', '.join(_READ.get(column, column) for column in columns)} FROM {chain.table}"  # noqa: S608
            f" WHERE {' AND '.join(conditions)} ORDER BY sequence, id LIMIT {BATCH}"
        )
        with connection.cursor() as cursor:
            cursor.execute(query, values)
            found = cursor.fetchall()
        for stored in found:
            row = dict(zip(columns, stored, strict=True))
            row["at"] = rfc3339(row["at"])
            if "changes" in row:
                row["changes"] = parse(row["changes"])
            yield row
        if len(found) < BATCH:
            return
        after = (row["sequence"], row["id"])


def export_line(chain: Chain, row: Row) -> str:
    named = (f'"{_WIRE.get(column, column)}": {as_jsonb(row[column])}' for column in columns_of(chain))
    return f'{{"chain": "{chain.name}", {", ".join(named)}}}'


def exported_row(chain: Chain, told: Mapping[str, Any]) -> Row:
    """Read a line of an export; raises KeyError for a column that it does not have."""
    return {column: told[_WIRE.get(column, column)] for column in columns_of(chain)}


def parse(text: str) -> Any:
    """Read JSON without touching a number: 1.50 stays 1.50."""
    return _DECODER.decode(text)
