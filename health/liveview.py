"""The live view: the KV bucket that consumers watch, written beside ingest and never in its way."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from nats.errors import Error as NatsError
from nats.js import JetStreamContext

from health import metrics
from health.live import LiveState
from health.streams import LIVE_VIEW

logger = logging.getLogger(__name__)

AT_ONCE: Final = 100
ACK_SECONDS: Final = 5.0
REST_SECONDS: Final = 0.5
_DELETED: Final = {"KV-Operation": "DEL"}


class LiveView:
    """Write the newest value of each key; values that are overtaken before their turn are left out.

    One process alone writes (the active ingest), so that the bucket's order is the order of the database.
    """

    def __init__(self, js: JetStreamContext) -> None:
        self._js = js
        self._waiting: dict[UUID, LiveState] = {}
        self._has_work = asyncio.Event()
        self._is_idle = asyncio.Event()
        self._is_idle.set()

    def offer(self, states: Iterable[LiveState]) -> None:
        """Have these written soon."""
        self._waiting.update((state.operator_id, state) for state in states)
        if self._waiting:
            self._is_idle.clear()
            self._has_work.set()

    async def settle(self, seconds: float) -> bool:
        """Wait until nothing waits, at most so long; tell whether it is so."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._is_idle.wait(), seconds)
        return self._is_idle.is_set()

    async def run(self) -> None:
        """Write what is offered, until cancelled."""
        while True:
            await self._has_work.wait()
            chosen = [self._waiting.pop(key) for key in list(self._waiting)[:AT_ONCE]]
            results = await asyncio.gather(*map(self._put, chosen))
            failed = [state for state, is_done in zip(chosen, results, strict=True) if not is_done]
            for state in failed:
                self._waiting.setdefault(state.operator_id, state)  # unless a newer value has come meanwhile
            if failed:
                await asyncio.sleep(REST_SECONDS)
            if not self._waiting:
                self._has_work.clear()
                self._is_idle.set()

    async def _put(self, state: LiveState) -> bool:
        subject = f"$KV.{LIVE_VIEW.name}.{state.operator_id}"
        try:
            if state.is_known:
                await self._js.publish(subject, state.payload(), timeout=ACK_SECONDS)
            else:
                await self._js.publish(subject, b"", headers=_DELETED, timeout=ACK_SECONDS)
        except (NatsError, OSError, TimeoutError) as error:
            metrics.kv_set.labels("error").inc()
            logger.warning("live view not written", extra={"action": "live_view", "error": type(error).__name__})
            return False
        metrics.kv_set.labels("ok").inc()
        if state.received_at is not None:
            metrics.live_seconds.observe(max((datetime.now(UTC) - state.received_at).total_seconds(), 0.0))
        return True
