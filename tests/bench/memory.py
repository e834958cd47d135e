"""The memory of a drainer that works through a long backlog."""

from __future__ import annotations

import time

from django.db import connection

from operators.models import OutboxEvent
from tests.bench.processes import drainer_process, resident_megabytes
from tests.bench.results import Result, progress
from tests.outbox import fill, some_operators
from tests.streams import purge_stream

EVENTS, STRIDE = 200_000, 20_000
GROWTH = 0.10


def run(scale: float) -> list[Result]:
    stride = int(STRIDE * scale)
    sizes: list[float] = []
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE operators_outboxevent")
    purge_stream()
    operators = some_operators(500)
    with drainer_process() as drainer:
        for written in range(0, int(EVENTS * scale), stride):
            fill(stride, operators=operators, first_version=1 + written // len(operators))
            while OutboxEvent.objects.pending().exists():
                time.sleep(0.2)
            sizes.append(resident_megabytes(drainer))
            progress(f"{written + stride:,} events, {sizes[-1]:.1f} MB")
    growth = max(sizes) / sizes[0] - 1
    return [
        Result(f"drainer's memory after each {stride:,} events, MB", " ".join(f"{size:.1f}" for size in sizes)),
        Result("growth after the first of them", f"{growth:.1%}", f"< {GROWTH:.0%}", growth < GROWTH),
    ]
