"""Statements that run all the time: the server keeps them planned, and each thread keeps a cursor for them.

Django writes values into a statement's text, so that the server plans it anew each time, and asks before each request
whether the connection still works; for one row by its key that is three times the work of the statement itself.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any, Final

import psycopg
from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg.pq import TransactionStatus

# A server that is frozen, but whose kernel still acknowledges packets, would be waited for without end.
SECONDS: Final = 3.0

Values = Sequence[Any] | Mapping[str, Any]

_kept = threading.local()


class PromptCursor(psycopg.Cursor):
    """Wait so long for an answer and no longer; the connection is of no use then."""

    def run(self, statement: str, values: Values) -> None:
        work = self._execute_gen(statement, values, prepare=True, binary=True)
        try:
            with self.connection.lock:
                self.connection.wait(work, timeout=SECONDS)
        except psycopg.OperationalError:
            if self.connection.info.transaction_status == TransactionStatus.ACTIVE:  # it has not answered
                self.connection.close()
            raise


def fetch(statement: str, values: Values) -> list[tuple[Any, ...]]:
    """Read a few rows. Asks once more on a new connection where the kept one turns out to be gone."""
    return _run(statement, values, may_repeat=True).fetchall()


def execute(statement: str, values: Values = ()) -> None:
    """Run what changes something, once; where it fails, nobody knows whether it was done."""
    _run(statement, values, may_repeat=False)


def _run(statement: str, values: Values, *, may_repeat: bool) -> PromptCursor:
    wrapper = connections[DEFAULT_DB_ALIAS]
    cursor = _cursor(wrapper)
    try:
        with wrapper.wrap_database_errors:
            cursor.run(statement, values)
    except DatabaseError:
        # One that was closed above, for it did not answer, is not broken: there is no time for another try.
        was_lost = cursor.connection.broken
        _let_go(wrapper)
        if not (may_repeat and was_lost) or wrapper.in_atomic_block:
            raise
        return _run(statement, values, may_repeat=False)
    return cursor


def _cursor(wrapper: BaseDatabaseWrapper) -> PromptCursor:
    wrapper.ensure_connection()
    cursor: PromptCursor | None = getattr(_kept, "cursor", None)
    if cursor is None or cursor.connection is not wrapper.connection:
        # Django switches preparing off; its own cursors never prepare, so that this concerns ours alone.
        wrapper.connection.prepare_threshold = 0
        cursor = _kept.cursor = PromptCursor(wrapper.connection)
    return cursor


def _let_go(wrapper: BaseDatabaseWrapper) -> None:
    """Make Django connect anew next time where the connection has ended; in a transaction the error says so itself."""
    if wrapper.connection is not None and wrapper.connection.closed and not wrapper.in_atomic_block:
        wrapper.close()
