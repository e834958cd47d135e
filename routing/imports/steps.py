"""What each step of an import has around it: span, log line, metrics, and the time that it may take."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from uuid import UUID

from django.db import connection

from operators.acting import acting
from operators.actors import Actor
from operators.errors import OperatorError
from routing import metrics

logger = logging.getLogger(__name__)

SPANS: Final = {
    "preview": "ops.routing.previewRateSheet",
    "apply": "ops.routing.applyRateSheet",
    "undo": "ops.routing.undoRateSheet",
}
RESULTS: Final = {"preview": "previewed", "apply": "applied", "undo": "undone"}
STATEMENT_SECONDS: Final = 120
LOCK_SECONDS: Final = 60


@contextmanager
def step(name: str, *, actor: Actor, operator_id: UUID, sheet: str) -> Iterator[None]:
    """Measure one step and tell how it ended; `sheet` is the file's name."""
    action = f"{name}_rate_sheet"
    began = time.monotonic()
    result = "failed"
    try:
        done = f"rate sheet {RESULTS[name]}: {sheet}"
        with acting(SPANS[name], logger=logger, actor=actor, action=action, done=done, operator_id=operator_id):
            yield
            result = RESULTS[name]
    except OperatorError:
        result = "refused"
        raise
    finally:
        metrics.rate_sheets.labels(result).inc()
        metrics.rate_sheet_seconds.labels(name).observe(time.monotonic() - began)


def allow_long() -> None:
    """Let the statements of this transaction take longer than a page's.

    One of them compares or writes a hundred thousand rows, and another import of the same operator may have to be
    waited for; both take seconds, which the limits for pages would cut off.
    """
    with connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL statement_timeout = '{STATEMENT_SECONDS}s'")
        cursor.execute(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'")


def join_as_sets() -> None:
    """Let the statements of this transaction join whole tables, not row by row.

    The lines of a sheet are newer than any statistics, and what is taken for a few rows would be looked up one by one.
    """
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_nestloop = off")
