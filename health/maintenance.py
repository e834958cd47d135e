"""Keep the log supplied with partitions and rid of old ones, without holding up those who write to it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Final, TypeVar

from django.db import OperationalError, connection, transaction
from django.db.backends.utils import CursorWrapper
from psycopg.errors import DeadlockDetected, LockNotAvailable

from health.models import HealthReport
from health.partitions import ASIDE, DAY, LOG, Partition, default_partition, midnight, partitions, set_aside
from health.partman import Partman

Result = TypeVar("Result")

# A wrong retention deletes months of history in one night: a run that would drop more asks a person first.
MOST_DROPS: Final = 3
# The console's longest chart: late reports of these days have a partition to go to.
DAYS_BACK: Final = 7
# Longer than PostgreSQL's deadlock_timeout (1 s), after which an autovacuum in the way is cancelled.
LOCK_TIMEOUT: Final = timedelta(seconds=1.5)
LOCK_TRIES: Final = 20
BREATHER_SECONDS: Final = 1.0
# Each takes some 10 ms, and writers wait for all of them.
DAYS_AT_ONCE: Final = 30
PAGES_AT_ONCE: Final = 256
ROUNDS: Final = 20
# A count over the default partition may take longer than a request is allowed to.
STATEMENT_TIMEOUT: Final = timedelta(minutes=10)

_NOT_ALL_VISIBLE: Final = """
    SELECT oid::regclass::text FROM pg_class
    WHERE oid = ANY (%s::regclass[]) AND pg_relation_size(oid) > relallvisible::bigint
          * current_setting('block_size')::bigint
    ORDER BY 1
"""
_COLUMNS: Final = ", ".join(column.column for column in HealthReport._meta.fields if column.column)


class AnotherRunUnderWay(Exception):
    """Another process maintains the partitions right now."""


class LogBusy(Exception):
    """Others held the log's lock during every try."""


@dataclass(slots=True)
class Outcome:
    """What a run did or, in a dry run, would do."""

    made: list[str] = field(default_factory=list)
    moved: int = 0
    discarded: int = 0
    vacuumed: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Strays:
    """Rows that lie in no day's partition: those to keep, by day, and how many are too old."""

    by_day: dict[datetime, int]
    old: int


@contextmanager
def only_run() -> Iterator[None]:
    """Keep other runs away; raises AnotherRunUnderWay. PostgreSQL ends the lock together with the connection."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(hashtextextended('health.maintain_partitions', 0))")
        if cursor.fetchone() != (True,):
            raise AnotherRunUnderWay
    try:
        yield
    finally:
        if connection.is_usable():
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(hashtextextended('health.maintain_partitions', 0))")


class Maintenance:
    """Bring the log to what the settings ask for; hold only_run() around it.

    Rows of the default partition stand in the way of their day's partition. Moving them there in one transaction, as
    pg_partman does, would hold up every writer for as long as it takes. So the default partition changes places with
    an empty one, the missing days are made beside it, which takes milliseconds, and its rows follow in small
    transactions. Until they have, readers do not see them. What a killed run left, the next one takes up.
    """

    def __init__(
        self,
        *,
        now: datetime,
        retention_days: int,
        premake_days: int,
        confirmed_drops: int | None = None,
        may_drop: bool = True,
    ) -> None:
        self._today = today = midnight(now)
        self._horizon = today - retention_days * DAY
        self._wanted = [today + offset * DAY for offset in range(-DAYS_BACK, premake_days + 1)]
        self._premake_days = premake_days
        self._confirmed_drops = confirmed_drops
        self._may_drop = may_drop
        self._outcome = Outcome()

    def plan(self) -> Outcome:
        """Tell what a run would do; reads only."""
        old, strays = self._decide(), self._strays()
        return Outcome(
            made=[f"{LOG} of {day:%Y-%m-%d}" for day in self._missing(strays)],
            moved=sum(strays.by_day.values()),
            discarded=strays.old if self._may_drop else 0,
            dropped=[partition.name for partition in old],
            refused=self._outcome.refused,
        )

    def run(self) -> Outcome:
        with transaction.atomic(), connection.cursor() as cursor:
            Partman.find(cursor).configure(cursor, premake_days=self._premake_days)
        old = self._decide()
        for _ in range(ROUNDS):
            self._bring_back()
            strays = self._strays()
            missing = self._missing(strays)
            if not missing and not (self._may_drop and strays.old):
                break
            self._outcome.made += self._briefly(partial(_supply, days=missing[:DAYS_AT_ONCE]))
        for partition in old:
            self._briefly(partial(_drop, partition))
            self._outcome.dropped.append(partition.name)
        self._outcome.vacuumed = _vacuum_finished(self._today)
        return self._outcome

    def _decide(self) -> list[Partition]:
        """Choose the partitions to drop; where the guard refuses, nothing at all is deleted in this run."""
        if not self._may_drop:
            return []
        with connection.cursor() as cursor:
            old = [partition for partition in partitions(cursor) if partition.end <= self._horizon]
        allowed = len(old) <= MOST_DROPS if self._confirmed_drops is None else len(old) == self._confirmed_drops
        if allowed:
            return old
        self._outcome.refused = [partition.name for partition in old]
        self._may_drop = False
        return []

    def _strays(self) -> Strays:
        by_day: dict[datetime, int] = {}
        with transaction.atomic(), connection.cursor() as cursor:
            _allow_long(cursor)
            for table in filter(None, (default_partition(cursor), set_aside(cursor))):
                cursor.execute(
                    f"SELECT date_trunc('day', observed_at, 'UTC'), count(*) FROM {table} GROUP BY 1"  # noqa: S608
                )
                for day, count in cursor.fetchall():
                    by_day[day] = by_day.get(day, 0) + count
        kept = {day: count for day, count in by_day.items() if day >= self._horizon}
        return Strays(by_day=kept, old=sum(by_day.values()) - sum(kept.values()))

    def _missing(self, strays: Strays) -> list[datetime]:
        """List the days to make, the wanted ones first, then those that only stray rows ask for."""
        with connection.cursor() as cursor:
            there = {partition.start for partition in partitions(cursor)}
        only_stray = sorted(set(strays.by_day) - set(self._wanted), reverse=True)
        return [day for day in (*self._wanted, *only_stray) if day not in there]

    def _bring_back(self) -> None:
        """Let the rows set aside follow to their days, some pages at a time.

        Nobody writes to that table any more, and it is dropped only when all have been copied: a run that is killed
        in between is repeated, and what it had copied already is recognised by its key.
        """
        with connection.cursor() as cursor:
            if set_aside(cursor) is None:
                return
            cursor.execute("SELECT pg_relation_size(%s) / current_setting('block_size')::int", [ASIDE])
            pages = cursor.fetchone()[0]
        oldest = self._horizon if self._may_drop else None
        for page in range(0, pages, PAGES_AT_ONCE):
            self._outcome.moved += self._briefly(partial(_copy_pages, first=page, oldest=oldest))
        self._outcome.discarded += self._briefly(partial(_drop_aside, oldest=oldest))

    def _briefly(self, work: Callable[[CursorWrapper], Result]) -> Result:
        """Work in a transaction of its own that gives way to others, and let them through between two tries."""
        for attempt in range(LOCK_TRIES):
            if attempt:
                time.sleep(BREATHER_SECONDS)
            try:
                with transaction.atomic(durable=True), connection.cursor() as cursor:
                    cursor.execute(f"SET LOCAL lock_timeout = {LOCK_TIMEOUT // timedelta(milliseconds=1)}")
                    return work(cursor)
            except OperationalError as error:
                if not isinstance(error.__cause__, LockNotAvailable | DeadlockDetected):
                    raise
        raise LogBusy


def _supply(cursor: CursorWrapper, *, days: Sequence[datetime]) -> list[str]:
    """Give the log an empty default partition, and the days; nobody can write to it in between."""
    # The parent before its partitions: the order in which an INSERT locks them.
    cursor.execute(f"LOCK TABLE ONLY {LOG} IN ACCESS EXCLUSIVE MODE")
    before = {partition.name for partition in partitions(cursor)}
    default = default_partition(cursor)
    if default is None:
        cursor.execute(f"CREATE TABLE {LOG}_default PARTITION OF {LOG} DEFAULT")
    else:
        cursor.execute(f"SELECT EXISTS (SELECT FROM {default})")  # noqa: S608
        if cursor.fetchone() == (True,):
            cursor.execute(f"ALTER TABLE {LOG} DETACH PARTITION {default}")
            cursor.execute(f"ALTER TABLE {default} RENAME TO {ASIDE}")
            cursor.execute(f"CREATE TABLE {default} PARTITION OF {LOG} DEFAULT")
    Partman.find(cursor).make(cursor, days)
    return [partition.name for partition in partitions(cursor) if partition.name not in before]


def _copy_pages(cursor: CursorWrapper, *, first: int, oldest: datetime | None) -> int:
    cursor.execute(
        f"INSERT INTO {LOG} ({_COLUMNS}) SELECT {_COLUMNS} FROM {ASIDE} "  # noqa: S608 - the names are ours
        "WHERE ctid >= %s::tid AND ctid < %s::tid AND (%s::timestamptz IS NULL OR observed_at >= %s) "
        "ON CONFLICT DO NOTHING",
        [f"({first},0)", f"({first + PAGES_AT_ONCE},0)", oldest, oldest],
    )
    copied: int = cursor.rowcount
    return copied


def _drop_aside(cursor: CursorWrapper, *, oldest: datetime | None) -> int:
    """Drop the table whose rows have all been copied, and count those that were too old to be."""
    _allow_long(cursor)
    cursor.execute(f"SELECT count(*) FROM {ASIDE} WHERE observed_at < %s", [oldest])  # noqa: S608
    discarded: int = cursor.fetchone()[0]
    cursor.execute(f"DROP TABLE {ASIDE}")
    return discarded


def _vacuum_finished(today: datetime) -> list[str]:
    """Vacuum the days to which nothing is added any more, so that charts read their index alone.

    Autovacuum comes when a table has grown by a fifth: the last rows of a day would wait for it for ever.
    """
    with connection.cursor() as cursor:
        cursor.execute(_NOT_ALL_VISIBLE, [[day.name for day in partitions(cursor) if day.end <= today]])
        names = [name for (name,) in cursor.fetchall()]
        cursor.execute(f"SET statement_timeout = {STATEMENT_TIMEOUT // timedelta(milliseconds=1)}")
        try:
            for name in names:
                cursor.execute(f"VACUUM (ANALYZE, SKIP_LOCKED) {name}")
        finally:
            cursor.execute("RESET statement_timeout")
    return names


def _drop(partition: Partition, cursor: CursorWrapper) -> None:
    cursor.execute(f"DROP TABLE {partition.name}")


def _allow_long(cursor: CursorWrapper) -> None:
    cursor.execute(f"SET LOCAL statement_timeout = {STATEMENT_TIMEOUT // timedelta(milliseconds=1)}")
