"""Staying logged in to Vault: renewal before half of a token's life is over, and a new login where that is possible."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from operators import metrics
from operators.deadlines import time_left
from operators.errors import VaultUnavailable

logger = logging.getLogger(__name__)

# A single try is a known way to lose a token: it is repeated at this pace until it works.
RETRY_SECONDS: Final = 30.0
# A policy that forbids something answers 403 for ever: no new login, and no new token in Vault, more often than this.
LOGIN_PAUSE: Final = 10.0
# A login that was refused is not asked for again at once by every call that needs it.
REFUSED_PAUSE: Final = 1.0
# Of a token's life: processes that were started together do not renew together.
RENEWED_AT: Final = (0.4, 0.5)
NEVER: Final = float("inf")


class LoginPaused(Exception):
    """A login has failed a moment ago; `reason` is how."""

    def __init__(self, reason: Exception) -> None:
        super().__init__()
        self.reason = reason


@dataclass(frozen=True)
class Grant:
    """What Vault said about the token in use; 0 seconds mean that it does not expire."""

    seconds: float
    is_renewable: bool


class Login:
    """Keep a client's token alive, checked at each call rather than by a thread of its own; safe for threads.

    `enter` and `renew` talk to Vault and put the token into the client; whatever they raise passes through, unless
    the token at hand is still good.
    """

    def __init__(self, *, enter: Callable[[], Grant], renew: Callable[[], Grant], can_enter_again: bool) -> None:
        self._enter = enter
        self._renew = renew
        self._can_enter_again = can_enter_again
        self._lock = threading.Lock()
        self._serial = 0
        self._entered_at = -NEVER
        self._full_life = 0.0
        self._due_at = -NEVER
        self._ends_at = -NEVER
        self._refused_at = -NEVER
        self._refusal: Exception | None = None

    def ensure(self) -> int:
        """Log in or renew if it is time to; return the serial number of the login in use."""
        now = time.monotonic()
        if now < self._due_at:
            return self._serial
        is_usable = now < self._ends_at
        # While one thread renews, the others go on with the token that is still good.
        if not self._lock.acquire(blocking=not is_usable, timeout=-1 if is_usable else time_left()):
            if is_usable:
                return self._serial
            raise VaultUnavailable
        try:
            if time.monotonic() >= self._due_at:
                self._extend(is_usable=is_usable)
            return self._serial
        finally:
            self._lock.release()

    def again(self, seen: int) -> bool:
        """Log in anew after a 403 under login `seen`; return whether there is a login that is worth another try."""
        if not self._can_enter_again:
            return False
        if not self._lock.acquire(timeout=time_left()):
            return False
        try:
            if self._serial == seen:
                if time.monotonic() - self._entered_at < LOGIN_PAUSE:
                    return False
                self._start()
            return True
        finally:
            self._lock.release()

    def _extend(self, *, is_usable: bool) -> None:
        if not is_usable:
            self._start()
            return
        # Written before the attempt: whatever becomes of it, the next one waits, but not beyond the token's end.
        self._due_at = min(time.monotonic() + RETRY_SECONDS, self._ends_at)
        grant = self._renewed()
        # Close to its maximal life a token is renewed by ever less; time for a new one.
        is_running_out = grant is None or grant.seconds < self._full_life / 2
        if is_running_out and self._can_enter_again:
            with suppress(Exception):  # counted; the token at hand is still good for a while
                self._start()
                return
        if grant is not None and grant.seconds > 0:
            self._take(grant)

    def _renewed(self) -> Grant | None:
        try:
            grant = self._renew()
        except Exception as error:
            metrics.vault_auth.labels("error").inc()
            logger.warning("Vault's token was not renewed", extra={"errorType": type(error).__name__})
            return None
        metrics.vault_auth.labels("ok").inc()
        return grant

    def _start(self) -> None:
        if self._refusal is not None and time.monotonic() - self._refused_at < REFUSED_PAUSE:
            raise LoginPaused(self._refusal)
        try:
            grant = self._enter()
        except Exception as error:
            metrics.vault_auth.labels("error").inc()
            self._refused_at, self._refusal = time.monotonic(), error.with_traceback(None)
            raise
        self._refusal = None
        metrics.vault_auth.labels("ok").inc()
        self._serial += 1
        self._entered_at = time.monotonic()
        self._full_life = grant.seconds
        self._take(grant)

    def _take(self, grant: Grant) -> None:
        now = time.monotonic()
        self._ends_at = now + grant.seconds if grant.seconds else NEVER
        if not grant.seconds:
            self._due_at = NEVER
        elif grant.is_renewable:
            self._due_at = now + grant.seconds * random.uniform(*RENEWED_AT)  # noqa: S311 - spreads load, hides nothing
        else:
            self._due_at = self._ends_at
