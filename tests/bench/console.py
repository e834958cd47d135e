"""The console's list with 5,000 operators, through gunicorn and every middleware."""

from __future__ import annotations

import random
from itertools import repeat
from typing import Final
from urllib.parse import urlencode

from django.db import connection
from django.utils import timezone

from operators.models import BindType, HealthState, Operator, Status
from tests.bench.pages import WARM_UP, page_result, page_times, query_count, signed_in
from tests.bench.results import Result, progress

OPERATORS: Final = 5_000
REQUESTS: Final = 200
FEW: Final = 50
LIST: Final = "/admin/operators/operator/"
PAGES: Final = {
    "first page": {},
    "last page, by update": {"o": "-9", "p": str(OPERATORS // 40)},
    "search": {"q": "carrier-49"},
    "filtered": {"status__exact": Status.ACTIVE.value, "health_state__exact": HealthState.UNHEALTHY.value},
}


def run(scale: float) -> list[Result]:
    client = signed_in()
    fill(FEW)
    few = query_count(client, LIST)
    fill(OPERATORS)
    many = query_count(client, LIST)
    progress(f"{Operator.objects.count():,} operators in the list")
    results = [
        Result(
            f"console list, queries with {FEW} and {OPERATORS:,} operators",
            f"{few} and {many}",
            "the same",
            few == many,
        )
    ]
    requests = WARM_UP + max(20, int(REQUESTS * scale))
    for name, query in PAGES.items():
        times = page_times(client, repeat(f"{LIST}?{urlencode(query)}", requests), b"result_list")
        results.append(page_result(f"console list of {OPERATORS:,}, {name}", times, 150))
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
