"""The memory of an ingest that works through a million reports."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Final

from health.models import HealthReport
from tests.bench.fleet import CADENCE, OPERATORS, empty, fresh_fleet, last_sequence, publish, reports, wait_for_ingest
from tests.bench.processes import ingest_process, resident_megabytes
from tests.bench.results import Result, progress

ROUNDS: Final = 200
STRIDES: Final = 10
GROWTH: Final = 0.10


def run(scale: float) -> list[Result]:
    rounds = int(ROUNDS * scale) // STRIDES
    stride = rounds * OPERATORS
    sizes: list[float] = []
    operators = fresh_fleet(OPERATORS)
    first_at = datetime.now(UTC) - timedelta(hours=2)
    with ingest_process() as ingest:
        for number in range(STRIDES):
            before = asyncio.run(last_sequence())
            # Ingest is at work meanwhile.
            asyncio.run(publish(reports(operators, first_at=first_at + number * rounds * CADENCE, rounds=rounds)))
            asyncio.run(wait_for_ingest(before, before + stride))
            sizes.append(resident_megabytes(ingest))
            progress(f"{(number + 1) * stride:,} reports, {sizes[-1]:.1f} MB")
    assert HealthReport.objects.count() == STRIDES * stride
    empty()
    growth = max(sizes) / sizes[0] - 1
    return [
        Result(f"ingest's memory after each {stride:,} reports, MB", " ".join(f"{size:.1f}" for size in sizes)),
        Result("growth after the first of them", f"{growth:.1%}", f"< {GROWTH:.0%}", growth < GROWTH),
    ]
