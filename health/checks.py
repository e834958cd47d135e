"""System checks of the log's partitions; `manage.py check --database default` runs them, and migrate does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.core.checks import CheckMessage, Tags, register
from django.core.checks import Warning as CheckWarning
from django.db import connections

from health.partitions import LEAST_AHEAD, LOG, supply

HINT = "Run `manage.py maintain_partitions`, and see why nobody does so every night."


@register(Tags.database)
def check_partitions(databases: Sequence[str] | None, **_: Any) -> list[CheckMessage]:
    """Warn of a log that runs out of partitions; silent until the migration has made it."""
    found: list[CheckMessage] = []
    for alias in databases or ():
        with connections[alias].cursor() as cursor:
            cursor.execute("SELECT to_regclass(%s) IS NULL", [LOG])
            if cursor.fetchone() == (True,):
                continue
            now = supply(cursor)
        if now.is_short:
            found.append(
                CheckWarning(
                    f"{LOG} has partitions for {now.days_ahead} days ahead; {LEAST_AHEAD} are the least.",
                    hint=HINT,
                    id="health.W001",
                )
            )
        if now.strays:
            found.append(
                CheckWarning(
                    f"{now.strays:,} reports (or more) lie in no day's partition of {LOG}.", hint=HINT, id="health.W002"
                )
            )
    return found
