"""Passwords over the internal listener: beside a bare view, at a given rate, and with Vault paused."""

from __future__ import annotations

import random
import ssl
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Final, TypeVar

from operators.models import Operator
from operators.secrets import Secret
from operators.vault import Role, vault
from tests.bench.console import fill
from tests.bench.fleet import bench_operators, empty
from tests.bench.results import Result, percentile, progress, spread
from tests.bench.servers import running_servers
from tests.bench.tls import Caller, listening
from tests.config.listener import Listener

OPERATORS: Final = 5_000
CALLERS: Final = 8
ROUNDS, SECONDS = 9, 4.0
RATE, PACED_SECONDS, PACED_CALLERS = 200, 30.0, 16
SLOWEST: Final = 50
AWAY: Final = 3.0
WAITING: Final = 48
BARE: Final = "tests.bench.bare.wsgi"

T = TypeVar("T")
Side = tuple[Listener, ssl.SSLContext]


def run(scale: float) -> list[Result]:
    paths = fresh_secrets(max(50, int(OPERATORS * scale)))
    with listening() as ours, listening(BARE) as bare:
        results = [*rates(ours, bare, paths, seconds=max(1.0, SECONDS * scale)), *paced(ours, bare, paths, scale)]
        results.append(paused(ours, paths))
    empty()
    return results


def fresh_secrets(count: int) -> list[str]:
    """Make operators, each with its secret in Vault; returns the addresses of their credentials."""
    empty()
    fill(count)
    operators = bench_operators()

    def store(operator_id: object) -> None:
        vault(Role.ADMIN).write(
            f"ops/operators/{operator_id}/credentials", {"system_id": "account", "password": Secret("pass-8ch")}, cas=0
        )

    with ThreadPoolExecutor(8) as pool:
        for _ in pool.map(store, operators):
            pass
    progress(f"{Operator.objects.count():,} operators with their secrets")
    return [f"/v1/internal/operators/{operator_id}/credentials" for operator_id in operators]


def rates(ours: Side, bare: Side, paths: Sequence[str], *, seconds: float) -> list[Result]:
    """Ask both as fast as they answer, in turns, so that a slow moment of the machine hits both."""
    for side in (ours, bare):
        rate(side, paths, seconds=1.0)  # warm-up
    found: list[tuple[float, float]] = []
    for number in range(ROUNDS):
        turn = (ours, bare) if number % 2 else (bare, ours)
        made = {id(side): rate(side, paths, seconds=seconds) for side in turn}
        found.append((made[id(ours)], made[id(bare)]))
    ratio = statistics.median(mine / theirs for mine, theirs in found)
    return [
        Result("credentials, reads/s", spread([mine for mine, _ in found])),
        Result("bare view with the same reads, reads/s", spread([theirs for _, theirs in found])),
        Result(f"ours to bare, median of {ROUNDS} rounds in turns", f"{ratio:.2f}", ">= 1.00", ratio >= 1.0),
    ]


def rate(side: Side, paths: Sequence[str], *, seconds: float) -> float:
    until = time.monotonic() + seconds

    def work(seed: int) -> int:
        chance, count = random.Random(seed), 0
        with Caller(*side) as caller:
            while time.monotonic() < until:
                status, _ = caller.get(chance.choice(paths))
                assert status == 200, status
                count += 1
        return count

    began = time.monotonic()
    done = sum(at_once(work, CALLERS))
    return done / (time.monotonic() - began)


def paced(ours: Side, bare: Side, paths: Sequence[str], scale: float) -> list[Result]:
    """Ask both at the pace; what the bare view cannot keep on this machine at this hour, nothing can."""
    seconds = max(3.0, PACED_SECONDS * scale)
    theirs, mine = (at_a_pace(side, paths, seconds=seconds) for side in (bare, ours))
    worst = percentile(mine, 95)
    title = f"at {RATE}/s over {len(paths):,} operators (n={len(mine):,}), ms p50/p95/p99"
    return [
        Result(f"credentials {title}", percentiles(mine), f"p95 <= {SLOWEST}", worst <= SLOWEST),
        Result(f"bare view {title}", percentiles(theirs)),
    ]


def percentiles(times: Sequence[float]) -> str:
    return "/".join(f"{percentile(times, percent):.1f}" for percent in (50, 95, 99))


def at_a_pace(side: Side, paths: Sequence[str], *, seconds: float) -> list[float]:
    """Return how many ms each answer took from when it was due, so that a stall is not hidden.

    The callers have their connections and one answer each before the clock begins: connectors keep them.
    """
    ready = Barrier(PACED_CALLERS)

    def work(place: int) -> list[float]:
        chance, times = random.Random(place), []
        with Caller(*side) as caller:
            caller.get(paths[place])
            ready.wait(timeout=60)
            begin = time.monotonic()
            for number in range(place, int(RATE * seconds), PACED_CALLERS):
                due = begin + number / RATE
                time.sleep(max(0.0, due - time.monotonic()))
                status, _ = caller.get(chance.choice(paths))
                assert status == 200, status
                times.append((time.monotonic() - due) * 1000)
        return times

    return [each for some in at_once(work, PACED_CALLERS) for each in some]


def paused(ours: Side, paths: Sequence[str]) -> Result:
    """Freeze Vault; more callers ask than there are threads."""

    def ask(place: int) -> tuple[int, float]:
        with Caller(*ours) as caller:
            began = time.monotonic()
            status, _ = caller.get(paths[place % len(paths)])
            return status, time.monotonic() - began

    openbao = running_servers().openbao
    openbao.pause()
    try:
        answers = [each for _ in range(3) for each in at_once(ask, WAITING)]
    finally:
        openbao.resume()
    began = time.monotonic()
    while ask(0)[0] != 200:
        assert time.monotonic() - began < 30, "it did not heal"
        time.sleep(0.05)
    healed = time.monotonic() - began
    longest = max(took for _, took in answers)
    refused = sum(status == 503 for status, _ in answers)
    return Result(
        f"Vault paused, {WAITING} callers at once, 3 times: 503, longest s, healed after s",
        f"{refused} of {len(answers)}, {longest:.2f}, {healed:.1f}",
        f"all, <= {AWAY:.0f}",
        refused == len(answers) and longest <= AWAY,
    )


def at_once(work: Callable[[int], T], count: int) -> list[T]:
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(work, range(count)))
