"""pg_partman, whose schema and version differ from server to server: it names and makes the log's partitions."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from django.db.backends.utils import CursorWrapper

from health.partitions import LOG

logger = logging.getLogger(__name__)


class NotPartitioned(Exception):
    """pg_partman is missing or does not know the log."""


@dataclass(frozen=True, slots=True)
class Partman:
    schema: str
    major: int
    log: str

    @classmethod
    def find(cls, cursor: CursorWrapper) -> Self:
        cursor.execute(
            "SELECT quote_ident(home.nspname), split_part(extversion, '.', 1)::int, own.nspname || '.' || relname "
            "FROM pg_extension JOIN pg_namespace AS home ON home.oid = extnamespace, "
            "pg_class JOIN pg_namespace AS own ON own.oid = relnamespace "
            "WHERE extname = 'pg_partman' AND pg_class.oid = to_regclass(%s)",
            [LOG],
        )
        row = cursor.fetchone()
        if row is None:
            raise NotPartitioned
        return cls(*row)

    def configure(self, cursor: CursorWrapper, *, premake_days: int) -> None:
        """Tell its background worker the same, should one run; dropping stays ours, behind the guard."""
        cursor.execute(
            f"SELECT retention FROM {self.schema}.part_config WHERE parent_table = %s FOR UPDATE",  # noqa: S608
            [self.log],
        )
        row = cursor.fetchone()
        if row is None:
            raise NotPartitioned
        if row[0] is not None:
            logger.warning("pg_partman's own retention taken back", extra={"retention": row[0]})
        cursor.execute(
            f"UPDATE {self.schema}.part_config "  # noqa: S608
            "SET premake = %s, infinite_time_partitions = true, retention = NULL WHERE parent_table = %s",
            [premake_days, self.log],
        )

    def make(self, cursor: CursorWrapper, days: Sequence[datetime]) -> None:
        """Make the days' partitions; one that is there already is left alone."""
        # Version 4 would otherwise ANALYZE the whole log while it is locked; version 5 never does.
        options = ", p_analyze => false" if self.major < 5 else ""
        cursor.execute(
            f"SELECT {self.schema}.create_partition_time(%s, %s::timestamptz[]{options})",
            [self.log, list(days)],
        )
