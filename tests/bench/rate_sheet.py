"""Import a sheet of 100,000 lines for an operator that has 100,000 rules, beside a bare COPY and INSERT of the same."""

from __future__ import annotations

import csv
import json
import os
import random
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from http.client import HTTPConnection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from uuid import uuid4

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone
from openpyxl import Workbook

from config.devkeys import ensure_dev_keys, sign_token
from operators.models import AuditEntry, BindType, Operator, OutboxEvent
from routing.models import RateSheet, RateSheetProfile, RoutingRule
from tests.bench.pages import signed_in
from tests.bench.processes import web_process
from tests.bench.results import Result, percentile, progress
from tests.flushing import as_intruder

LINES: Final = 100_000
PREVIEW_SECONDS, APPLY_SECONDS, MEGABYTES, PAGE_MS = 20, 30, 500, 300
PAUSE: Final = 0.1  # a dozen people who look around
PAGE: Final = "/admin/operators/operator/"
TITLES: Final = ("Prefix", "Price", "Currency", "Effective date")
RULES: Final = RoutingRule._meta.db_table

Line = tuple[str, str, str, str]


def run(scale: float) -> list[Result]:
    lines = make_lines(int(LINES * scale))
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")  # of this session: the rules that are there at the beginning
    operator = make_carrier()
    results: list[Result] = []
    with TemporaryDirectory() as home:
        sheets = {"CSV": write_csv(Path(home), lines), "XLSX": write_xlsx(Path(home), lines)}
        for kind, path in sheets.items():
            fill(operator, lines)
            results += command_results(f"{kind} of {len(lines):,} lines", path, operator)
            results.append(Result(f"{kind}, bare COPY and INSERT, s", f"{bare_seconds(operator, lines):.1f}"))
        fill(operator, lines)
        results += page_results(sheets["XLSX"], operator, Path(home))
    empty(operator)
    with connection.cursor() as cursor:
        cursor.execute("RESET statement_timeout")
    return results


def make_lines(count: int) -> list[Line]:
    chance = random.Random(4)
    prefixes = chance.sample(range(10_000_000, 99_999_999), count)
    return [(f"+{prefix}", f"{chance.uniform(0.01, 0.09):.5f}", "EUR", "2126-12-01") for prefix in prefixes]


def write_csv(home: Path, lines: Sequence[Line]) -> Path:
    path = home / "prices.csv"
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows((TITLES, *lines))
    return path


def write_xlsx(home: Path, lines: Sequence[Line]) -> Path:
    path = home / "prices.xlsx"
    book = Workbook(write_only=True)
    sheet = book.create_sheet()
    sheet.append(TITLES)
    for prefix, price, currency, day in lines:
        sheet.append((prefix, float(price), currency, day))
    book.save(path)
    return path


def make_carrier() -> Operator:
    """Add the row directly: nobody binds to it."""
    now = timezone.now()
    return Operator.objects.create(
        name=f"Bench carrier {uuid4()}",
        host="smpp.carrier.example",
        system_id=uuid4().hex[:15],
        bind_type=BindType.TRANSCEIVER,
        max_tps=100,
        credential_version=1,
        credential_rotated_at=now,
        created_by="bench",
        updated_by="bench",
        created_at=now,
        updated_at=now,
    )


def fill(operator: Operator, lines: Sequence[Line]) -> None:
    """Give the operator as many rules as the sheet has lines: nine in ten for a prefix of the sheet."""
    clear(operator)
    chance = random.Random(5)
    now = timezone.now()
    with connection.cursor() as cursor:
        with cursor.copy(
            f"COPY {RULES} (id, operator_id, prefix, mcc, mnc, priority, weight, cost_per_segment, currency, active, "
            "version, created_by, updated_by, created_at, updated_at) FROM STDIN"
        ) as copy:
            for number, (prefix, *_) in enumerate(lines):
                known = prefix if number % 10 else f"{prefix}0"
                cost = f"{chance.uniform(0.01, 0.09):.5f}"
                copy.write_row(
                    (uuid4(), operator.pk, known, "", "", 10, 100, cost, "EUR", True, 1, "bench", "bench", now, now)
                )
        cursor.execute(f"ANALYZE {RULES}")


def command_results(what: str, path: Path, operator: Operator) -> Iterator[Result]:
    """Run the real command; its log tells how long each step took."""
    process = subprocess.Popen(
        [sys.executable, "manage.py", "import_rate_sheet", str(operator.pk), str(path), "--confirm-large-changes"],
        cwd=settings.BASE_DIR,
        env={**os.environ, "LOG_LEVEL": "INFO"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    watcher = PeakMemory(process)
    _, log = process.communicate()
    assert process.returncode == 0, log
    took = dict(steps(log))
    sheet = RateSheet.objects.latest("uploaded_at")
    progress(f"{what}: {sheet.in_words()}")
    preview, apply, peak = took["preview_rate_sheet"], took["apply_rate_sheet"], watcher.peak()
    yield Result(f"{what}, preview, s", f"{preview:.1f}", f"<= {PREVIEW_SECONDS}", preview <= PREVIEW_SECONDS)
    yield Result(f"{what}, apply, s", f"{apply:.1f}", f"<= {APPLY_SECONDS}", apply <= APPLY_SECONDS)
    yield Result(f"{what}, peak memory, MB", f"{peak:.0f}", f"<= {MEGABYTES}", peak <= MEGABYTES)


def steps(log: str) -> Iterator[tuple[str, float]]:
    for line in log.splitlines():
        with suppress(json.JSONDecodeError):
            entry = json.loads(line)
            if "durationMs" in entry:
                yield entry["action"], entry["durationMs"] / 1000


class PeakMemory(threading.Thread):
    """Read a process's high-water mark as long as it lives; what wait4() tells includes its parent's pages."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        super().__init__(daemon=True)
        self._status = Path(f"/proc/{process.pid}/status")
        self._kilobytes = 0
        self.start()

    def run(self) -> None:
        with suppress(OSError):
            while found := re.search(r"VmHWM:\s+(\d+)", self._status.read_text()):
                self._kilobytes = int(found[1])
                time.sleep(0.05)

    def peak(self) -> float:
        """Return megabytes, once the process has ended."""
        self.join()
        return self._kilobytes / 1024


def bare_seconds(operator: Operator, lines: Sequence[Line]) -> float:
    """Write the lines into a copy of the table that has the operator's old rules and every index and constraint."""
    now = timezone.now()
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE TABLE bare_rules (LIKE {RULES} INCLUDING ALL)")
        cursor.execute(
            f"INSERT INTO bare_rules SELECT * FROM {RULES} WHERE operator_id = %s AND rate_sheet_id IS NULL",  # noqa: S608
            [operator.pk],
        )
        cursor.execute("UPDATE bare_rules SET effective_to = '2126-12-01' WHERE effective_to IS NULL")
        cursor.execute("ANALYZE bare_rules")
        cursor.execute("CREATE TEMP TABLE bare_lines (prefix text, cost numeric, currency text, starts timestamptz)")
        began = time.monotonic()
        with transaction.atomic():
            with cursor.copy("COPY bare_lines FROM STDIN") as copy:
                for line in lines:
                    copy.write_row(line)
            cursor.execute(
                "INSERT INTO bare_rules (id, operator_id, prefix, mcc, mnc, priority, weight, cost_per_segment, "
                "currency, effective_from, active, version, created_by, updated_by, created_at, updated_at) "
                "SELECT gen_random_uuid(), %(operator)s, prefix, '', '', 10, 100, cost, currency, starts, true, 1, "
                "'bench', 'bench', %(now)s, %(now)s FROM bare_lines",
                {"operator": operator.pk, "now": now},
            )
        took = time.monotonic() - began
        cursor.execute("DROP TABLE bare_rules; DROP TABLE bare_lines")
    return took


def page_results(path: Path, operator: Operator, home: Path) -> Iterator[Result]:
    """Ask for a page of the console, over and over, while the same single web process imports the sheet."""
    key, key_set = ensure_dev_keys(home)
    os.environ.update(JWT_DEV_KEY_PATH=str(key), JWT_JWKS_PATH=str(key_set), JWT_ISSUER="bench")
    settings.JWT_DEV_KEY_PATH, settings.JWT_ISSUER = str(key), "bench"
    cookie = f"sessionid={signed_in().cookies['sessionid'].value}"
    with web_process() as server:
        upload = Upload(server, path, operator)
        idle = [page_time(server, cookie) for _ in range(60)][10:]
        upload.start()
        busy = []
        while upload.is_alive():
            busy.append(page_time(server, cookie))
            time.sleep(PAUSE)
        upload.join()
    assert upload.status == 201, upload.status
    progress(f"{len(busy):,} pages while the API imported for {upload.seconds:.1f} s")
    yield Result("import by the API in one request, s", f"{upload.seconds:.1f}")
    yield Result("console page without an import, ms p50/p95", figures(idle))
    busy_p95 = percentile(busy, 95)
    yield Result("console page during the import, ms p50/p95", figures(busy), f"p95 <= {PAGE_MS}", busy_p95 <= PAGE_MS)


class Upload(threading.Thread):
    """Send the sheet to a server, and time the answer."""

    def __init__(self, server: HTTPConnection, path: Path, operator: Operator) -> None:
        super().__init__()
        self._server = (server.host, server.port)
        self._path = path
        self._address = f"/v1/admin/operators/{operator.pk}/rate-sheets?confirmLargeChanges=true"
        self.status, self.seconds = 0, 0.0

    def run(self) -> None:
        client = HTTPConnection(*self._server, timeout=300)
        began = time.monotonic()
        client.request(
            "POST",
            self._address,
            self._path.read_bytes(),
            {
                "Authorization": f"Bearer {sign_token(subject='bench', scope='ops:admin', minutes=5)}",
                "Content-Type": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
            },
        )
        self.status = client.getresponse().status
        self.seconds = time.monotonic() - began
        client.close()


def page_time(server: HTTPConnection, cookie: str) -> float:
    began = time.perf_counter()
    server.request("GET", PAGE, headers={"Cookie": cookie})
    answer = server.getresponse()
    answer.read()
    assert answer.status == 200, answer.status
    return (time.perf_counter() - began) * 1000


def figures(times: Sequence[float]) -> str:
    return f"{percentile(times, 50):.0f}/{percentile(times, 95):.0f}"


def clear(operator: Operator) -> None:
    RoutingRule.objects.filter(operator=operator).delete()
    RateSheet.objects.filter(operator=operator).delete()
    RateSheetProfile.objects.filter(operator=operator).delete()


def empty(operator: Operator) -> None:
    clear(operator)
    with as_intruder():  # the trail refuses to be shortened; the links of what follows are broken from here on
        AuditEntry.objects.filter(operator=operator).delete()
    OutboxEvent.objects.filter(operator_id=operator.pk).delete()
    operator.delete()
