"""Empty the database between tests although the audit trail refuses to be emptied."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection
from django.db.backends.postgresql.operations import DatabaseOperations

# In a session of this role ordinary triggers rest; only a superuser may take it on.
WITHOUT_TRIGGERS = "SET LOCAL session_replication_role = replica"


def let_flush() -> None:
    """Have Django's flush, by which transactional tests end, begin as such a session; it is one transaction."""
    plain = DatabaseOperations.sql_flush

    def sql_flush(self: DatabaseOperations, *args: object, **options: object) -> list[str]:
        statements: list[str] = plain(self, *args, **options)  # type: ignore[arg-type]
        return [WITHOUT_TRIGGERS, *statements] if statements else []

    DatabaseOperations.sql_flush = sql_flush  # type: ignore[method-assign,assignment]


@contextmanager
def as_intruder() -> Iterator[None]:
    """Write to the trail as a superuser could, past its triggers."""
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        try:
            yield
        finally:
            cursor.execute("RESET session_replication_role")
