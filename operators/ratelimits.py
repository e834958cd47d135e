"""How often a caller may call: token buckets in the memory of one worker process."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from threading import Lock
from typing import Final

MOST_CALLERS: Final = 10_000


class TokenBuckets:
    """Let each caller call `per_second` times in the long run, and `burst` times at once.

    Every worker process counts for itself, so that a service with N workers lets through up to N times as much.
    Callers that rest are forgotten.
    """

    def __init__(
        self,
        *,
        per_second: float,
        burst: int,
        most_callers: int = MOST_CALLERS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if per_second <= 0 or burst < 1:
            raise ValueError("per_second must be above 0 and burst at least 1.")
        self.per_second = per_second
        self.burst = burst
        self._most_callers = most_callers
        self._clock = clock
        self._lock = Lock()
        # Per caller the moment at which its bucket is full again: all that a bucket's state amounts to.
        self._full_at: dict[str, float] = {}

    def take(self, caller: str) -> float:
        """Take one token and return 0, or take none and return how many seconds to wait for one."""
        with self._lock:
            now = self._clock()
            full_at = max(self._full_at.get(caller, now), now) + 1 / self.per_second
            # The bucket must have held one whole token: it lacks at most `burst` of them now.
            wait = full_at - now - self.burst / self.per_second
            if wait > 1e-9:
                return wait
            if caller not in self._full_at and len(self._full_at) >= self._most_callers:
                self._forget(now)
            self._full_at[caller] = full_at
            return 0.0

    def _forget(self, now: float) -> None:
        """Drop full buckets, which are as good as none; if all are in use, drop those that are fullest."""
        in_use = {caller: full_at for caller, full_at in self._full_at.items() if full_at > now}
        if len(in_use) >= self._most_callers:
            emptiest = sorted(in_use, key=in_use.__getitem__)[len(in_use) // 2 :]
            in_use = {caller: in_use[caller] for caller in emptiest}
        self._full_at = in_use


def retry_after(wait: float) -> int:
    """Round a wait to the whole seconds of a Retry-After header."""
    return max(1, math.ceil(wait))
