from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from operators.ratelimits import TokenBuckets, retry_after


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_it_lets_a_burst_through_and_then_says_how_long_to_wait(clock: Clock) -> None:
    buckets = TokenBuckets(per_second=2, burst=3, clock=clock)

    assert [buckets.take("anna") for _ in range(4)] == [0, 0, 0, pytest.approx(0.5)]


def test_it_refills_at_its_rate_and_no_further_than_its_burst(clock: Clock) -> None:
    buckets = TokenBuckets(per_second=2, burst=3, clock=clock)
    for _ in range(3):
        buckets.take("anna")

    clock.now += 0.5
    assert [buckets.take("anna"), buckets.take("anna") > 0] == [0, True]
    clock.now += 3600
    assert [buckets.take("anna") == 0 for _ in range(4)] == [True, True, True, False]


def test_it_takes_no_token_from_a_caller_that_it_refuses(clock: Clock) -> None:
    buckets = TokenBuckets(per_second=1, burst=1, clock=clock)
    buckets.take("anna")

    waits = [buckets.take("anna") for _ in range(100)]

    assert waits == [pytest.approx(1)] * 100
    clock.now += 1
    assert buckets.take("anna") == 0


def test_it_gives_every_caller_a_bucket_of_its_own(clock: Clock) -> None:
    buckets = TokenBuckets(per_second=1, burst=1, clock=clock)

    assert [buckets.take("anna"), buckets.take("bert"), buckets.take("anna") > 0] == [0, 0, True]


def test_it_forgets_callers_that_rest_and_keeps_those_it_holds_back(clock: Clock) -> None:
    buckets = TokenBuckets(per_second=1, burst=2, most_callers=10, clock=clock)
    buckets.take("busy")
    buckets.take("busy")

    for number in range(1000):
        buckets.take(f"caller-{number}")

    assert len(buckets._full_at) <= 10
    assert buckets.take("busy") > 0


def test_it_counts_right_when_threads_take_at_once(clock: Clock) -> None:
    buckets = TokenBuckets(per_second=1, burst=50, clock=clock)

    with ThreadPoolExecutor(8) as pool:
        waits = list(pool.map(lambda _: buckets.take("anna"), range(400)))

    assert sum(wait == 0 for wait in waits) == 50


@pytest.mark.parametrize(("per_second", "burst"), [(0, 1), (-1, 1), (1, 0)])
def test_it_refuses_limits_that_would_let_nothing_through(per_second: float, burst: int) -> None:
    with pytest.raises(ValueError, match="per_second"):
        TokenBuckets(per_second=per_second, burst=burst)


@pytest.mark.parametrize(("wait", "header"), [(0.01, 1), (1, 1), (1.2, 2), (59.5, 60)])
def test_it_never_tells_a_caller_to_come_back_too_early(wait: float, header: int) -> None:
    assert retry_after(wait) == header
