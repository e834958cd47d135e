"""Values as PostgreSQL's COPY reads them in text format: one line a row, at a fraction of what parameters cost."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache
from typing import Final

from django.db import connection

NULL: Final = r"\N"


def stage(table: str, select: str, lines: Iterable[str]) -> None:
    """Fill a temporary table that has the columns of a query; it is empty again after the transaction."""
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE TEMP TABLE IF NOT EXISTS {table} ON COMMIT DELETE ROWS AS {select} WITH NO DATA")
        cursor.execute(f"DELETE FROM {table}")  # noqa: S608 - what an earlier use in this transaction left
        with cursor.copy(f"COPY {table} FROM STDIN") as copy:
            copy.write("".join(lines))


@lru_cache(maxsize=20_000)  # the same moments come again: in log and status, and as the beginning of a run
def moment(value: datetime | None) -> str:
    return NULL if value is None else value.isoformat()


def number(value: float | None) -> str:
    return NULL if value is None else repr(value)


def text(value: str | None) -> str:
    """Escape printable ASCII, of which the backslash alone has a meaning of its own."""
    return NULL if value is None else value.replace("\\", "\\\\")
