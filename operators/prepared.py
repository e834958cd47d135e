"""Statements that run all the time: the server keeps them planned, and each thread keeps what it takes to run them.

Django writes values into a statement's text, so that the server plans it anew each time, and asks before each request
whether the connection still works; for one row by its key that is three times the work of the statement itself. A
cursor of psycopg's, which can do more than this, is as much again.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

import psycopg
from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg.abc import PQGen
from psycopg.adapt import PyFormat, Transformer
from psycopg.errors import InvalidSqlStatementName, error_from_result
from psycopg.generators import execute as _sent
from psycopg.pq import ExecStatus, Format, TransactionStatus
from psycopg.pq.abc import PGresult

# A server that is frozen, but whose kernel still acknowledges packets, would be waited for without end.
SECONDS: Final = 3.0
# A connection that keeps so many plans forgets them all and begins anew.
MOST_STATEMENTS: Final = 100

Values = Sequence[Any] | Mapping[str, Any]
Row = tuple[Any, ...]

_PLACE: Final = re.compile(r"%(?:\((\w+)\))?s")
_kept = threading.local()


class Session:
    """One connection and the statements that it has prepared."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.connection = connection
        self._transformer = Transformer(connection)
        # A value's type is part of the statement that the server keeps: a small int is another one than a big one.
        self._names: dict[tuple[str, tuple[int, ...]], bytes] = {}

    def run(self, statement: str, values: Values, seconds: float) -> list[Row]:
        """Wait so long for an answer and no longer; the connection is of no use then."""
        try:
            with self.connection.lock:
                result = self.connection.wait(self._answer(statement, values), timeout=seconds)
        except InvalidSqlStatementName:
            # Somebody said DEALLOCATE ALL, psycopg after a rollback for one, if the settings let it prepare too.
            self._names.clear()
            if self.connection.info.transaction_status != TransactionStatus.IDLE:
                raise
            return self.run(statement, values, seconds)
        except psycopg.OperationalError:
            if self.connection.info.transaction_status == TransactionStatus.ACTIVE:  # it has not answered
                self.connection.close()
            raise
        self._transformer.set_pgresult(result)
        return self._transformer.load_rows(0, result.ntuples, tuple)

    def _answer(self, statement: str, values: Values) -> PQGen[PGresult]:
        text, names = _numbered(statement)
        if isinstance(values, Mapping):
            values = [values[name] for name in names]
        sent = self._transformer.dump_sequence(values, [PyFormat.BINARY] * len(values))
        types = self._transformer.types or ()
        yield from self.connection._start_query()  # BEGIN, where Django is in a transaction and this is its first
        pgconn = self.connection.pgconn
        name = self._names.get((statement, types))
        if name is None:
            if len(self._names) >= MOST_STATEMENTS:
                pgconn.send_query(b"DEALLOCATE ALL")
                _checked((yield from _sent(pgconn)))
                self._names.clear()
            name = f"ops_{len(self._names)}".encode()
            pgconn.send_prepare(name, text, types)
            _checked((yield from _sent(pgconn)))
            self._names[statement, types] = name
        pgconn.send_query_prepared(name, sent, self._transformer.formats, Format.BINARY)
        return _checked((yield from _sent(pgconn)))


@lru_cache(maxsize=256)
def _numbered(statement: str) -> tuple[bytes, tuple[str, ...]]:
    """Put PostgreSQL's $1 for psycopg's %s, or its own for each name, which are returned in their order."""
    names = list(dict.fromkeys(filter(None, _PLACE.findall(statement))))
    places = iter(range(1, len(statement)))
    text = _PLACE.sub(lambda found: f"${names.index(found[1]) + 1 if found[1] else next(places)}", statement)
    return text.replace("%%", "%").encode(), tuple(names)


def _checked(results: list[PGresult]) -> PGresult:
    result = results[-1]
    if result.status == ExecStatus.FATAL_ERROR:
        raise error_from_result(result)
    return result


def fetch(statement: str, values: Values, *, seconds: float | None = None) -> list[Row]:
    """Read rows, within SECONDS or so long. Asks once more on a new connection where the kept one is gone."""
    return _run(statement, values, seconds, may_repeat=True)


def execute(statement: str, values: Values = ()) -> None:
    """Run what changes something, once; where it fails, nobody knows whether it was done."""
    _run(statement, values, None, may_repeat=False)


def _run(statement: str, values: Values, seconds: float | None, *, may_repeat: bool) -> list[Row]:
    wrapper = connections[DEFAULT_DB_ALIAS]
    session = _session(wrapper)
    try:
        with wrapper.wrap_database_errors:
            return session.run(statement, values, SECONDS if seconds is None else seconds)
    except DatabaseError:
        # One that was closed above, for it did not answer, is not broken: there is no time for another try.
        was_lost = session.connection.broken
        _let_go(wrapper)
        if not (may_repeat and was_lost) or wrapper.in_atomic_block:
            raise
        return _run(statement, values, seconds, may_repeat=False)


def _session(wrapper: BaseDatabaseWrapper) -> Session:
    wrapper.ensure_connection()
    session: Session | None = getattr(_kept, "session", None)
    if session is None or session.connection is not wrapper.connection:
        session = _kept.session = Session(wrapper.connection)
    return session


def _let_go(wrapper: BaseDatabaseWrapper) -> None:
    """Make Django connect anew next time where the connection has ended; in a transaction the error says so itself."""
    if wrapper.connection is not None and wrapper.connection.closed and not wrapper.in_atomic_block:
        wrapper.close()
