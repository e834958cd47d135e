"""Kill drainers for many rounds and count what became of the events."""

from __future__ import annotations

import asyncio
import signal

from operators.drain import Drainer
from tests.faults.drainers import Point, kill_at
from tests.outbox import Figures, compare, fill, some_operators
from tests.streams import read_stream

EVENTS_A_ROUND = 60


def rounds_of_kills(point: Point, rounds: int, *, seed: int, is_marked: bool = True) -> Figures:
    """Add events, kill a drainer at the point, go on; drain the rest, and compare outbox and stream."""
    operators = some_operators(5)
    kills = 0
    for number in range(rounds):
        fill(EVENTS_A_ROUND, operators=operators, first_version=1 + number * EVENTS_A_ROUND // len(operators))
        kills += kill_at(point, seed=seed + number, is_marked=is_marked) == -signal.SIGKILL
    # A fault test that injected no fault would pass for the wrong reason.
    assert kills == rounds
    assert asyncio.run(Drainer(batch=500, max_attempts=8).drain())
    figures = compare(read_stream())
    print(f"{point}: {kills} kills, {figures}")  # noqa: T201 - `make faults` shows the figures
    return figures
