"""All rules in this process's memory, for long lists of numbers; never older than the question.

Each question first reads a fingerprint of the operators' state and of their versions, which every change of a rule
raises. Where it is another one, the operators are read again, and the rules of those whose version is another one.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import numpy as np
from django.db import connection

from operators.models import HealthState, Operator, Status
from routing.models import RoutingRule

logger = logging.getLogger(__name__)

Array = np.ndarray[tuple[int], np.dtype[Any]]

NO_CODE: Final = -1
EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)  # of PostgreSQL's timestamps
FOREVER: Final = np.iinfo(np.int64).max  # PostgreSQL's infinity
_MICROSECOND: Final = timedelta(microseconds=1)

# The columns, all of fixed width, so that a row of the binary COPY has always the same length. An MNC keeps its leading
# zeros by a thousand for each of its digits.
_COLUMNS: Final = (
    ("operator", "chosen.ordinal", ">i4"),
    ("rule", "rule.id", "V16"),
    ("prefix", "substr(rule.prefix, 2)::bigint", ">i8"),
    ("mcc", f"coalesce(nullif(rule.mcc, ''), '{NO_CODE}')::smallint", ">i2"),
    (
        "mnc",
        f"CASE rule.mnc WHEN '' THEN {NO_CODE} ELSE 1000 * length(rule.mnc) + rule.mnc::int END::smallint",
        ">i2",
    ),
    ("priority", "rule.priority", ">i4"),
    ("weight", "rule.weight", ">i4"),
    ("cost", "(rule.cost_per_segment * 1000000)::bigint", ">i8"),
    ("currency", "rule.currency::text", "S3"),
    ("start", "coalesce(rule.effective_from, '-infinity')", ">i8"),
    ("end", "coalesce(rule.effective_to, 'infinity')", ">i8"),
)
_READ: Final = f"""
    COPY (
        SELECT {", ".join(sql for _, sql, _ in _COLUMNS)}
        FROM unnest(%s::uuid[], %s::int[]) AS chosen (id, ordinal)
        JOIN {RoutingRule._meta.db_table} AS rule ON rule.operator_id = chosen.id
        WHERE rule.active
    ) TO STDOUT (FORMAT BINARY)
"""  # noqa: S608 - the tables' names are ours
# A name could hold anything, but its length tells where it ends.
_FINGERPRINT: Final = f"""
    SELECT sha256(convert_to(
        string_agg(concat_ws('|', id, version, length(name), name, status, health_state), ''), 'UTF8'
    ))
    FROM {Operator._meta.db_table}
    WHERE deleted_at IS NULL
"""  # noqa: S608
# In one statement, for state comes and goes: a fingerprint of before or after could be that of other rows.
_OPERATORS: Final = f"""
    SELECT id, version, name, status, health_state, ({_FINGERPRINT})
    FROM {Operator._meta.db_table}
    WHERE deleted_at IS NULL
"""  # noqa: S608
# PostgreSQL, COPY, "Binary Format": a header of 19 bytes, a count of two before each row, a length of four before each
# field, and a count of -1 at the end.
_HEADER, _TRAILER = 19, 2
_ROW: Final = np.dtype(
    [("count", ">i2")] + [field for name, _, kind in _COLUMNS for field in ((f"{name}_length", ">i4"), (name, kind))]
)
_PIECE: Final = 20_000 * _ROW.itemsize
_OPERATORS_AT_ONCE: Final = 250


@dataclass(frozen=True, slots=True)
class Carriers:
    """The operators in the order of their ordinals, which last as long as the process; what is gone routes nothing."""

    ids: list[UUID]
    names: list[str]
    statuses: list[str]
    healths: list[str]
    routes: Array
    is_down: Array
    is_degraded: Array


@dataclass(frozen=True, slots=True)
class Rules:
    """The active rules by prefix, column by column, and where those of each prefix begin; FOREVER is the last one."""

    columns: dict[str, Array]
    prefixes: Array
    begins: Array

    def __getitem__(self, name: str) -> Array:
        return self.columns[name]


def moment(value: datetime) -> int:
    return (value - EPOCH) // _MICROSECOND


def datetime_of(value: int) -> datetime:
    return EPOCH + value * _MICROSECOND


def mnc_code(mnc: str) -> int:
    return 1000 * len(mnc) + int(mnc)


def mnc_text(code: int) -> str:
    return f"{code % 1000:0{code // 1000}}"


class Rulebook:
    """The rules as of the versions of their operators; safe for threads, which share what was read."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ordinals: dict[UUID, int] = {}
        self._versions: dict[UUID, int] = {}
        self._fingerprint: bytes | None = None  # of no operators
        self._carriers = self._arranged(())
        self._rules = _in_order(_read((), ()))

    def current(self) -> tuple[Carriers, Rules]:
        """Give operators and rules as they are committed now."""
        with self._lock, connection.cursor() as cursor:
            cursor.execute(_FINGERPRINT)
            if cursor.fetchone() != (self._fingerprint,):
                cursor.execute(_OPERATORS)
                rows = cursor.fetchall()
                # The operators come first: what is committed in between is newer than its version says, and read once
                # more.
                self._follow({pk: version for pk, version, *_ in rows})
                self._carriers = self._arranged(rows)
                self._fingerprint = rows[0][-1] if rows else None
            return self._carriers, self._rules

    def _follow(self, versions: dict[UUID, int]) -> None:
        changed = [pk for pk, version in versions.items() if self._versions.get(pk) != version]
        gone = self._versions.keys() - versions.keys()
        if not changed and not gone:
            return
        began = time.perf_counter()
        for pk in changed:
            self._ordinals.setdefault(pk, len(self._ordinals))
        fresh = _read(changed, [self._ordinals[pk] for pk in changed])
        stale = np.zeros(len(self._ordinals), dtype=bool)
        stale[[self._ordinals[pk] for pk in (*changed, *gone)]] = True
        kept = ~stale[self._rules["operator"]]
        columns = {name: np.concatenate((self._rules[name][kept], fresh.pop(name))) for name, *_ in _COLUMNS}
        self._rules, self._versions = _in_order(columns), versions
        logger.info(
            "routing rules read into memory",
            extra={
                "operators": len(changed) + len(gone),
                "rules": len(self._rules["prefix"]),
                "durationMs": round((time.perf_counter() - began) * 1000, 1),
            },
        )

    def _arranged(self, rows: Iterable[tuple[Any, ...]]) -> Carriers:
        count = len(self._ordinals)
        names, statuses, healths = [""] * count, [""] * count, [""] * count
        for pk, _, name, status, health, _ in rows:
            ordinal = self._ordinals[pk]
            names[ordinal], statuses[ordinal], healths[ordinal] = name, status, health
        return Carriers(
            ids=list(self._ordinals),
            names=names,
            statuses=statuses,
            healths=healths,
            routes=np.array([status == Status.ACTIVE for status in statuses], dtype=bool),
            is_down=np.array([health == HealthState.UNHEALTHY for health in healths], dtype=bool),
            is_degraded=np.array([health == HealthState.DEGRADED for health in healths], dtype=bool),
        )


def _read(operators: Sequence[UUID], ordinals: Sequence[int]) -> dict[str, Array]:
    """Read the active rules of some operators, in no order; so many at a time that no statement takes long."""
    pieces = [_columns(b"")]
    with connection.cursor() as cursor:
        for some in range(0, len(operators), _OPERATORS_AT_ONCE):
            chosen = slice(some, some + _OPERATORS_AT_ONCE)
            with cursor.copy(_READ, [list(operators[chosen]), list(ordinals[chosen])]) as copy:
                pieces += _pieces(copy)
    # Column by column, and each piece is let go: a million rules never lie here twice.
    return {name: np.concatenate([piece.pop(name) for piece in pieces]) for name, *_ in _COLUMNS}


def _pieces(copy: Iterable[bytes | bytearray | memoryview]) -> Iterator[dict[str, Array]]:
    rows = bytearray()
    for data in copy:
        rows += data
        if len(rows) > _HEADER + _PIECE:
            yield _columns(bytes(rows[_HEADER : _HEADER + _PIECE]))
            # What is left gets a header of its own back.
            del rows[:_PIECE]
    yield _columns(bytes(rows[_HEADER:-_TRAILER]))


def _columns(rows: bytes) -> dict[str, Array]:
    """Take rows of COPY apart into columns in the machine's own byte order."""
    table = np.frombuffer(rows, dtype=_ROW)
    return {name: table[name].astype(np.dtype(kind).newbyteorder("=")) for name, _, kind in _COLUMNS}


def _in_order(columns: dict[str, Array]) -> Rules:
    """Sort the columns, which are given away, by prefix."""
    order = np.argsort(columns["prefix"], kind="stable")
    ordered = {name: columns.pop(name)[order] for name in tuple(columns)}
    prefixes, begins = np.unique(ordered["prefix"], return_index=True)
    return Rules(ordered, np.append(prefixes, FOREVER), np.append(begins, len(order)))


_rulebook: Rulebook | None = None
_lock = threading.Lock()


def rulebook() -> Rulebook:
    """Give this process's rulebook; a forked child begins one of its own."""
    global _rulebook
    with _lock:
        if _rulebook is None:
            _rulebook = Rulebook()
        return _rulebook


def _forget() -> None:
    global _lock, _rulebook
    _lock, _rulebook = threading.Lock(), None


os.register_at_fork(after_in_child=_forget)
