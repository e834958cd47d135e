"""The log's partitions, on each major version of pg_partman that this PostgreSQL offers.

Debian 12 has version 4. Version 5 is SQL alone: it is tried too where its pg_partman--5.x.y.sql, of any newer package,
lies in PostgreSQL's extension directory.
"""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.core.checks import run_checks
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone
from pytest_django import DjangoDbBlocker, Settings

from deploy.dev.ports import free_port
from deploy.dev.postgres import Postgres
from health import maintenance
from health.models import HealthReport
from health.partitions import DAY, PartitionsCollector, midnight, partitions, supply
from operators.metrics import pg_errors

pytestmark = pytest.mark.django_db(transaction=True)

OPERATOR = uuid.UUID(int=7)
INSERT = (
    "INSERT INTO operator_health_log "
    "SELECT gen_random_uuid(), %s, 'c-1', %s + n * interval '1 ms', now(), 'BOUND', 0.01, NULL, 20 "
    "FROM generate_series(0, %s - 1) AS n ON CONFLICT DO NOTHING"
)


def fetch(query: str, *values: Any) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(query, values)
        return cursor.fetchall() if cursor.description else []


def extension_version(major: int) -> str | None:
    """Find the newest version of this major that PostgreSQL could install."""
    rows = fetch("SELECT version FROM pg_available_extension_versions WHERE name = 'pg_partman'")
    found = [version for (version,) in rows if version.startswith(f"{major}.")]
    return max(found, key=lambda version: [int(part) for part in version.split(".")], default=None)


def installed_version() -> str:
    ((version,),) = fetch("SELECT extversion FROM pg_extension WHERE extname = 'pg_partman'")
    assert isinstance(version, str)
    return version


def install(version: str) -> None:
    if installed_version() == version:
        return
    call_command("migrate", "health", "0001", verbosity=0)
    fetch("DROP EXTENSION pg_partman")
    fetch(f"CREATE EXTENSION pg_partman SCHEMA partman VERSION '{version}'")
    call_command("migrate", "health", verbosity=0)


@pytest.fixture(scope="module", params=[4, 5], ids=["pg_partman-4", "pg_partman-5"], autouse=True)
def partman(request: pytest.FixtureRequest, django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[str]:
    with django_db_blocker.unblock():
        version, before = extension_version(request.param), installed_version()
        if version is None:
            pytest.skip(f"this PostgreSQL offers no pg_partman {request.param}")
        install(version)
    yield version
    with django_db_blocker.unblock():
        install(before)


@pytest.fixture(autouse=True)
def _log_as_migrated(partman: str, transactional_db: None) -> Iterator[None]:
    yield
    fetch("DROP TABLE IF EXISTS operator_health_log_aside")
    fetch("TRUNCATE operator_health_log")
    lose_partitions()
    maintain()


def lose_partitions() -> None:
    with connection.cursor() as cursor:
        for partition in partitions(cursor):
            cursor.execute(f"DROP TABLE {partition.name}")


def make_partitions(*days_ago: int) -> None:
    days = [midnight(timezone.now()) - days * DAY for days in days_ago]
    fetch("SELECT partman.create_partition_time('ops.operator_health_log', %s::timestamptz[])", days)


def maintain(**options: Any) -> str:
    output = io.StringIO()
    call_command("maintain_partitions", stdout=output, **options)
    return output.getvalue()


def maintain_and_fail(**options: Any) -> str:
    output = io.StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("maintain_partitions", stdout=output, **options)
    assert ended.value.code == 1
    return output.getvalue()


def log_reports(at: datetime, count: int = 1) -> None:
    fetch(INSERT, OPERATOR, at, count)


def days() -> list[datetime]:
    with connection.cursor() as cursor:
        return [partition.start for partition in partitions(cursor)]


def around_today(back: int, ahead: int) -> list[datetime]:
    today = midnight(timezone.now())
    return [today + offset * DAY for offset in range(-back, ahead + 1)]


def strays() -> int:
    with connection.cursor() as cursor:
        return supply(cursor).strays


def home_of(at: datetime) -> str:
    """Name the partition that holds the one report of this moment."""
    ((name,),) = fetch("SELECT tableoid::regclass::text FROM operator_health_log WHERE observed_at = %s", at)
    assert isinstance(name, str)
    return name


def state() -> tuple[object, ...]:
    tables = fetch("SELECT relname, relpages FROM pg_class WHERE relname LIKE '%%health_log%%' ORDER BY 1")
    config = fetch("SELECT premake, infinite_time_partitions, retention FROM partman.part_config")
    return tables, config, HealthReport.objects.count(), strays()


def test_it_starts_with_a_week_on_either_side_and_a_default_partition() -> None:
    assert days() == around_today(7, 7)
    assert fetch("SELECT premake, infinite_time_partitions, retention FROM partman.part_config") == [(7, True, None)]
    with connection.cursor() as cursor:
        assert supply(cursor).days_ahead == 7
    assert strays() == 0


@pytest.mark.parametrize(
    ("offset", "is_stray"),
    [(timedelta(minutes=4), False), (-10 * DAY, True), (-730 * DAY, True)],
    ids=["ahead", "ten-days-ago", "two-years-ago"],
)
def test_it_keeps_a_report_whose_day_has_no_partition(offset: timedelta, is_stray: bool) -> None:
    at = timezone.now() + offset
    log_reports(at)
    assert HealthReport.objects.filter(operator_id=OPERATOR, observed_at=at).count() == 1
    assert strays() == int(is_stray)


def test_it_moves_the_rows_of_the_default_partition_to_their_days() -> None:
    moments = [timezone.now() - age * DAY for age in (0, 10, 11, 20)]
    for at in moments:
        log_reports(at, 100)
    told = maintain()
    assert "moved out of the default partition: 300 rows" in told
    assert HealthReport.objects.count() == 400
    assert strays() == 0
    assert len({home_of(at) for at in moments}) == 4
    assert "made: none" in maintain()


def test_it_lets_a_week_be_read_from_its_own_partitions_alone() -> None:
    log_reports(timezone.now() - 10 * DAY)
    maintain()
    today = midnight(timezone.now())
    plan = fetch(
        "EXPLAIN SELECT error_rate FROM operator_health_log "
        "WHERE operator_id = %s AND observed_at >= %s AND observed_at < %s",
        OPERATOR,
        today - 6 * DAY,
        today + DAY,
    )
    scans = [line for (line,) in plan if " on operator_health_log" in line]
    assert len(scans) == 7
    assert not any("default" in line for line in scans)


def test_it_supplies_a_log_that_slept_for_a_month() -> None:
    lose_partitions()
    make_partitions(*range(30, 38))
    now = timezone.now()
    log_reports(now, 50)
    log_reports(now - 32 * DAY, 50)
    told = maintain()
    assert days() == [midnight(now) - age * DAY for age in range(35, 29, -1)] + around_today(7, 7)
    assert "dropped, older than 35 days: " in told
    assert HealthReport.objects.count() == 100
    assert strays() == 0


def test_it_supplies_an_empty_log_without_any_partition() -> None:
    lose_partitions()
    fetch("DROP TABLE operator_health_log_default")
    maintain()
    assert days() == around_today(7, 7)
    log_reports(timezone.now() - 100 * DAY)
    assert strays() == 1


def test_it_makes_as_many_days_ahead_as_the_setting_says(settings: Settings) -> None:
    settings.HEALTH_LOG_PREMAKE_DAYS = 12
    told = json.loads(maintain(is_json=True))
    assert (len(told["made"]), told["daysAhead"], told["strays"]) == (5, 12, 0)
    assert days() == around_today(7, 12)


def test_it_discards_and_counts_strays_older_than_the_retention() -> None:
    log_reports(timezone.now() - 36 * DAY, 30)
    log_reports(timezone.now() - 34 * DAY, 20)
    told = json.loads(maintain(is_json=True))
    assert (told["moved"], told["discarded"], told["strays"]) == (20, 30, 0)
    assert HealthReport.objects.count() == 20


def test_it_keeps_every_row_of_the_retention_to_the_first_midnight() -> None:
    horizon = midnight(timezone.now()) - 35 * DAY
    log_reports(horizon)
    log_reports(horizon - timedelta(milliseconds=1))
    maintain()
    assert list(HealthReport.objects.values_list("observed_at", flat=True)) == [horizon]
    assert days()[0] == horizon


def test_it_drops_three_old_partitions_without_asking() -> None:
    make_partitions(36, 37, 38)
    log_reports(timezone.now() - 37 * DAY, 10)
    told = json.loads(maintain(is_json=True))
    assert len(told["dropped"]) == 3
    assert days() == around_today(7, 7)
    assert HealthReport.objects.count() == 0


def test_it_vacuums_finished_days_once_and_leaves_today_to_autovacuum() -> None:
    yesterday = midnight(timezone.now()) - DAY
    log_reports(yesterday, 500)
    log_reports(midnight(timezone.now()), 500)
    maintain()
    with connection.cursor() as cursor:
        [name] = [partition.name for partition in partitions(cursor) if partition.start == yesterday]
    log_reports(yesterday + timedelta(hours=1), 5000)

    assert json.loads(maintain(is_json=True, dry_run=True))["vacuumed"] == []
    assert json.loads(maintain(is_json=True))["vacuumed"] == [name]

    assert json.loads(maintain(is_json=True))["vacuumed"] == []
    ((timeout,),) = fetch("SELECT current_setting('statement_timeout')")
    assert timeout == "15s"


def test_it_drops_none_when_more_than_three_are_old_unless_their_number_is_confirmed() -> None:
    make_partitions(*range(36, 41))
    log_reports(timezone.now() - 37 * DAY)
    log_reports(timezone.now() - 50 * DAY)
    for options in ({}, {"confirm_drop": 4}, {"confirm_drop": 6}):
        told = maintain_and_fail(**options)
        assert "NOT dropped: 5 partitions are older than 35 days" in told
        assert "--confirm-drop 5" in told
        assert len(days()) == 15 + 5
        assert HealthReport.objects.count() == 2
    told = maintain(confirm_drop=5)
    assert "discarded, older than 35 days: 1 rows" in told
    assert days() == around_today(7, 7)


def test_it_still_supplies_the_log_when_it_refuses_to_drop() -> None:
    lose_partitions()
    make_partitions(*range(36, 41))
    log_reports(timezone.now(), 10)
    log_reports(timezone.now() - 50 * DAY)
    maintain_and_fail()
    assert days()[5:] == around_today(7, 7)
    assert HealthReport.objects.count() == 11
    assert strays() == 1


def test_it_drops_and_discards_nothing_when_told_to_keep_what_is_old() -> None:
    make_partitions(40)
    log_reports(timezone.now() - 50 * DAY)
    told = maintain(keep_old=True)
    assert "dropped, older than 35 days: none" in told
    assert len(days()) == 16
    assert HealthReport.objects.count() == 1


def test_it_changes_nothing_in_a_dry_run() -> None:
    lose_partitions()
    make_partitions(40)
    log_reports(timezone.now(), 20)
    log_reports(timezone.now() - 50 * DAY)
    before = state()
    told = json.loads(maintain(dry_run=True, is_json=True))
    assert state() == before
    assert (told["dryRun"], len(told["made"]), told["moved"], told["discarded"]) == (True, 15, 20, 1)
    assert told["dropped"] == [name for name in told["dropped"] if "health_log_p" in name] and len(told["dropped"]) == 1
    assert "Dry run: nothing was changed." in maintain(dry_run=True)


def test_it_takes_back_a_retention_that_somebody_gave_pg_partman() -> None:
    fetch("UPDATE partman.part_config SET retention = '1 day', infinite_time_partitions = false")
    maintain()
    assert fetch("SELECT retention, infinite_time_partitions FROM partman.part_config") == [(None, True)]


def test_it_gets_along_with_pg_partmans_own_maintenance() -> None:
    lose_partitions()
    make_partitions(0, 1)
    fetch("SELECT partman.run_maintenance('ops.operator_health_log')")
    maintain()
    fetch("SELECT partman.run_maintenance('ops.operator_health_log')")
    # In the afternoon (UTC) pg_partman makes one more: it rounds what is left of the last one's age to whole days.
    assert days() in (around_today(7, 7), around_today(7, 8))


def test_it_leaves_the_work_to_a_run_that_is_under_way(postgres_server: Postgres) -> None:
    lose_partitions()
    with psycopg.connect(postgres_server.url_of(connection.settings_dict["NAME"])) as other:
        other.execute("SELECT pg_advisory_lock(hashtextextended('health.maintain_partitions', 0))")
        assert maintain() == "Another run is under way; nothing to do.\n"
    assert days() == []


def test_it_gives_up_when_others_never_let_the_log_go(
    postgres_server: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maintenance, "LOCK_TRIES", 2)
    monkeypatch.setattr(maintenance, "BREATHER_SECONDS", 0.1)
    lose_partitions()
    with psycopg.connect(postgres_server.url_of(connection.settings_dict["NAME"])) as reader:
        reader.execute("SELECT count(*) FROM ops.operator_health_log")
        with pytest.raises(CommandError, match="held the log locked"):
            maintain()
    assert days() == []
    maintain()
    assert days() == around_today(7, 7)


def test_it_loses_nothing_when_it_is_killed_while_rows_are_set_aside(process_env: dict[str, str]) -> None:
    lose_partitions()
    today = midnight(timezone.now())
    for age in range(3):
        log_reports(today - age * DAY, 20_000)
    command = [sys.executable, "manage.py", "maintain_partitions"]
    with subprocess.Popen(command, cwd=settings.BASE_DIR, env=process_env, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 30
        while not fetch("SELECT relname FROM pg_class WHERE relname = 'operator_health_log_aside'"):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
    assert fetch("SELECT relname FROM pg_class WHERE relname = 'operator_health_log_aside'")
    assert strays() == 10_000  # it counts no further
    log_reports(today, 10)
    # PostgreSQL ends the killed run's session, and with it the lock, a moment later.
    while "under way" in maintain():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert HealthReport.objects.count() == 60_010
    assert strays() == 0


def test_it_lets_others_insert_meanwhile(postgres_server: Postgres) -> None:
    lose_partitions()
    now = timezone.now()
    for age in range(4):
        log_reports(midnight(now) - age * DAY, 20_000)
    waits: list[float] = []
    is_over = threading.Event()

    def insert() -> None:
        with psycopg.connect(postgres_server.url_of(connection.settings_dict["NAME"]), autocommit=True) as writer:
            writer.execute("SET search_path = ops")
            while not is_over.is_set():
                began = time.monotonic()
                writer.execute(INSERT, (OPERATOR, timezone.now(), 5))
                waits.append(time.monotonic() - began)
                time.sleep(0.005)

    thread = threading.Thread(target=insert)
    thread.start()
    try:
        time.sleep(0.2)
        maintain()
    finally:
        is_over.set()
        thread.join()
    assert max(waits) < 5
    assert HealthReport.objects.count() == 80_000 + 5 * len(waits)
    assert strays() == 0


def test_it_can_be_migrated_away_and_back() -> None:
    fetch("CREATE TABLE operator_health_log_aside (LIKE operator_health_log)")
    call_command("migrate", "health", "zero", verbosity=0)
    try:
        assert fetch("SELECT relname FROM pg_class WHERE relname LIKE '%%health_log%%'") == []
        assert fetch("SELECT parent_table FROM partman.part_config") == []
        assert found_by_checks() == []
    finally:
        call_command("migrate", "health", verbosity=0)
    assert days() == around_today(7, 7)


def test_it_says_that_pg_partman_does_not_know_the_log() -> None:
    fetch("UPDATE partman.part_config SET parent_table = 'ops.another'")
    try:
        with pytest.raises(CommandError, match="does not know operator_health_log"):
            maintain()
    finally:
        fetch("UPDATE partman.part_config SET parent_table = 'ops.operator_health_log'")


def found_by_checks() -> list[object]:
    return [message.id for message in run_checks(databases=["default"]) if str(message.id).startswith("health.")]


def shown() -> dict[str, float]:
    return {sample.name: sample.value for family in PartitionsCollector().collect() for sample in family.samples}


def test_it_warns_and_shows_when_partitions_run_out_or_rows_stray() -> None:
    assert found_by_checks() == []
    assert shown() == {"ops_health_partition_days_ahead": 7, "ops_health_default_partition_rows": 0}
    log_reports(timezone.now() - 20 * DAY, 12)
    assert found_by_checks() == ["health.W002"]
    assert shown()["ops_health_default_partition_rows"] == 12
    lose_partitions()
    make_partitions(0, -1, -3, -4)
    assert found_by_checks() == ["health.W001", "health.W002"]
    assert shown()["ops_health_partition_days_ahead"] == 1
    lose_partitions()
    make_partitions(-1, -2, -3)
    assert shown()["ops_health_partition_days_ahead"] == 0


def test_it_shows_nothing_while_the_database_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    failures = pg_errors.labels("connect")._value.get()
    with monkeypatch.context() as patched:
        patched.setitem(connection.settings_dict, "PORT", free_port())
        assert shown() == {}
    assert pg_errors.labels("connect")._value.get() == failures + 1
