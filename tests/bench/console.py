"""The console's list with 5,000 operators, through gunicorn and every middleware."""

from __future__ import annotations

import random
import time
from http.client import HTTPConnection
from typing import Final
from urllib.parse import urlencode

from django.contrib.auth import get_user_model
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from operators.models import BindType, HealthState, Operator, Status
from tests.bench.processes import web_process
from tests.bench.results import Result, percentile, progress

OPERATORS: Final = 5_000
REQUESTS: Final = 200
FEW: Final = 50
WARM_UP: Final = 10
LIST: Final = "/admin/operators/operator/"
PAGES: Final = {
    "first page": {},
    "last page, by update": {"o": "-9", "p": str(OPERATORS // 40)},
    "search": {"q": "carrier-49"},
    "filtered": {"status__exact": Status.ACTIVE.value, "health_state__exact": HealthState.UNHEALTHY.value},
}


def run(scale: float) -> list[Result]:
    client = Client()
    client.force_login(get_user_model().objects.create_superuser("bench"))
    fill(FEW)
    few = query_count(client)
    fill(OPERATORS)
    progress(f"{Operator.objects.count():,} operators in the list")
    results = [
        Result(
            f"console list, queries with {FEW} and {OPERATORS:,} operators",
            f"{few} and {query_count(client)}",
            "the same",
            few == query_count(client),
        )
    ]
    cookie = f"sessionid={client.cookies['sessionid'].value}"
    for name, query in PAGES.items():
        with web_process() as server:
            times = [timed(server, cookie, query) for _ in range(WARM_UP + max(20, int(REQUESTS * scale)))][WARM_UP:]
        results.append(
            Result(
                f"console list of {OPERATORS:,}, {name}, ms p50/p95/p99",
                "/".join(f"{percentile(times, percent):.0f}" for percent in (50, 95, 99)),
                "p95 <= 150",
                percentile(times, 95) <= 150,
            )
        )
    Operator.objects.filter(created_by="bench").delete()
    return results


def fill(up_to: int) -> None:
    """Add rows directly: the page reads the table alone, and 5,000 secrets would take minutes."""
    chance = random.Random(7)
    now = timezone.now()
    Operator.objects.bulk_create(
        Operator(
            name=f"Carrier-{number}",
            host=f"smpp{number}.carrier.example",
            system_id=f"account{number}",
            bind_type=chance.choice(BindType.values),
            max_tps=chance.randint(1, 1000),
            status=chance.choice(Status.values),
            health_state=chance.choice(HealthState.values),
            tags=chance.sample(["europe", "africa", "wholesale", "premium", "test"], 2),
            credential_version=1,
            credential_rotated_at=now,
            created_by="bench",
            updated_by="bench",
            created_at=now,
            updated_at=now,
        )
        for number in range(Operator.objects.filter(created_by="bench").count(), up_to)
    )
    with connection.cursor() as cursor:
        cursor.execute(f"ANALYZE {Operator._meta.db_table}")


def query_count(client: Client) -> int:
    with CaptureQueriesContext(connection) as queries:
        page = client.get(LIST)
    assert page.status_code == 200, page.status_code
    return len(queries)


def timed(server: HTTPConnection, cookie: str, query: dict[str, str]) -> float:
    """Return the milliseconds of one request, the loopback's included."""
    began = time.perf_counter()
    server.request("GET", f"{LIST}?{urlencode(query)}", headers={"Cookie": cookie})
    answer = server.getresponse()
    body = answer.read()
    took = (time.perf_counter() - began) * 1000
    assert answer.status == 200, answer.status
    assert b"result_list" in body
    return took
