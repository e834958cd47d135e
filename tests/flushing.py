"""Empty the database between tests although the audit trail refuses to be emptied."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from django.db import connection
from django.test import TransactionTestCase

# What migrating has written and no test changes.
KEPT: Final = frozenset({"django_content_type", "auth_permission"})
# To truncate some thirty tables, nearly all of them empty, takes longer than most tests; but many rows that are
# deleted one by one are in the way of the next reader.
FEW: Final = 10_000

# In a session of the role replica ordinary triggers rest, those of foreign keys too; only a superuser may take it on.
_EMPTY: Final = """
DO $empty$
DECLARE
    name text;
    deleted bigint;
    total bigint := 0;
BEGIN
    SET LOCAL session_replication_role = replica;
    FOREACH name IN ARRAY string_to_array('{names}', ',') LOOP
        EXECUTE format('DELETE FROM %I', name);
        GET DIAGNOSTICS deleted = ROW_COUNT;
        total := total + deleted;
    END LOOP;
    IF total > {few} THEN
        TRUNCATE {names};
    END IF;
END
$empty$
"""


def let_flush() -> None:
    """Have transactional tests end by emptying what has rows, and not by making all permissions anew as well."""
    TransactionTestCase._fixture_teardown = _empty  # type: ignore[attr-defined]


def _empty(_test: TransactionTestCase) -> None:
    names = ",".join(sorted({*connection.introspection.django_table_names(include_views=False)} - KEPT))
    with connection.cursor() as cursor:
        cursor.execute(_EMPTY.format(names=names, few=FEW))


@contextmanager
def as_intruder() -> Iterator[None]:
    """Write to the trail as a superuser could, past its triggers."""
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        try:
            yield
        finally:
            cursor.execute("RESET session_replication_role")


def forget_trail() -> None:
    """Take away what a fixture that outlives a test has left in the audit trail."""
    with as_intruder(), connection.cursor() as cursor:
        cursor.execute("TRUNCATE operators_auditentry")
