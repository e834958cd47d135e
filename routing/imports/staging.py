"""The lines of a sheet on their way into the database: a temporary table of this session, filled by COPY."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from itertools import islice
from typing import Final

from django.db import connection

from routing.ratesheets.lines import PriceLine, RejectedLine

STAGE: Final = "pg_temp.sheet_stage"
BATCH: Final = 5_000

_CREATE: Final = f"""
    CREATE TEMP TABLE {STAGE.removeprefix("pg_temp.")} (
        line integer NOT NULL,
        prefix varchar(16) COLLATE "C" NOT NULL,
        mcc varchar(3) NOT NULL,
        mnc varchar(3) NOT NULL,
        cost numeric(18, 6),
        currency varchar(3) NOT NULL,
        effective_from timestamptz,
        effective_to timestamptz,
        field text NOT NULL,
        value text NOT NULL,
        reason text NOT NULL
    )
"""

Row = tuple[
    int, str, str, str, Decimal | None, str, datetime | None, datetime | None, str, str, str
]  # as the table's columns


@contextmanager
def staged(lines: Iterable[PriceLine | RejectedLine], on_batch: Callable[[int], None]) -> Iterator[int]:
    """Fill the table, batch by batch, give the number of lines, and drop it afterwards.

    Each batch is committed on its own, so that no transaction is open while a file is read; `on_batch` hears how many
    lines have been read.
    """
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE IF EXISTS {STAGE}")
        cursor.execute(_CREATE)
    count = 0
    rows = (_row(line) for line in lines)
    try:
        while batch := list(islice(rows, BATCH)):
            with connection.cursor() as cursor, cursor.copy(f"COPY {STAGE} FROM STDIN") as copy:
                for row in batch:
                    copy.write_row(row)
            count += len(batch)
            on_batch(count)
        with connection.cursor() as cursor:
            # A new table has no statistics, and a join of two hundred thousand rows goes wrong without.
            cursor.execute(f"ANALYZE {STAGE}")
        yield count
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"DROP TABLE IF EXISTS {STAGE}")


def _row(line: PriceLine | RejectedLine) -> Row:
    if isinstance(line, PriceLine):
        return (
            line.line,
            line.prefix,
            line.mcc,
            line.mnc,
            line.cost,
            line.currency,
            line.effective_from,
            line.effective_to,
            "",
            "",
            "",
        )
    return (line.line, line.prefix, "", "", None, "", None, None, line.field, line.value, line.reason)
