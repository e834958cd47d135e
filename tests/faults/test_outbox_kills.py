"""Hundreds of killed drainers; `make faults`."""

from __future__ import annotations

import pytest

from tests.faults.drainers import Point
from tests.faults.rounds import EVENTS_A_ROUND, rounds_of_kills
from tests.outbox import Figures
from tests.streams import purge_stream

pytestmark = [pytest.mark.faults, pytest.mark.django_db(transaction=True), pytest.mark.timeout(900)]

ROUNDS = 200


@pytest.mark.parametrize("point", list(Point))
def test_it_loses_doubles_and_reorders_nothing_over_many_kills(point: Point) -> None:
    purge_stream()
    figures = rounds_of_kills(point, ROUNDS, seed=20_000)
    total = ROUNDS * EVENTS_A_ROUND
    assert figures == Figures(total, total, lost=0, unexpected=0, duplicates=0, inversions=0)
