"""Make the schema before the first table, and let one process migrate at a time."""

from __future__ import annotations

from typing import Any, Final

from django.conf import settings
from django.core.management.commands.migrate import Command as MigrateCommand
from django.db import connections
from psycopg import sql

# Two pods that start together would otherwise run the same migration twice.
MIGRATION_LOCK: Final = 0x0B5_319_7A7E


class Command(MigrateCommand):
    def handle(self, *args: Any, **options: Any) -> str | None:
        connection = connections[options["database"]]
        with connection.cursor() as cursor:
            # Building an index may take longer than a request may.
            cursor.execute("SET statement_timeout = 0")
            cursor.execute("SET lock_timeout = '60s'")
            cursor.execute("SELECT pg_advisory_lock(%s)", [MIGRATION_LOCK])
            cursor.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(settings.DATABASE_SCHEMA)))
        try:
            return super().handle(*args, **options)
        finally:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [MIGRATION_LOCK])
                cursor.execute("RESET statement_timeout")
                cursor.execute("RESET lock_timeout")
