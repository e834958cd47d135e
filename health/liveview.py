"""The live view: the KV bucket that consumers watch, written beside ingest and never in its way."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from health import metrics
from health.live import LiveState, Offered
from health.streams import LIVE_VIEW
from operators.pubacks import Outgoing, PubAcks

AT_ONCE: Final = 100
# For each batch while ingest is behind: 5,000 keys still come round well within the 60 s that they live.
AT_ONCE_BEHIND: Final = 50
REST_SECONDS: Final = 0.5
_DELETED: Final = {"KV-Operation": "DEL"}


class LiveView:
    """Write the newest value of each key; values that are overtaken before their turn are left out.

    One process alone writes (the active ingest), so that the bucket's order is the order of the database.
    """

    def __init__(self, acks: PubAcks) -> None:
        self._acks = acks
        self._waiting: dict[UUID, LiveState] = {}
        self._offered: dict[UUID, tuple[str, datetime | None]] = {}
        self._is_behind = False
        self._has_work = asyncio.Event()
        self._has_turn = asyncio.Event()
        self._is_idle = asyncio.Event()
        self._is_idle.set()

    def offer(self, states: Iterable[LiveState], *, is_behind: bool | None = None) -> None:
        """Have these written soon; while ingest is behind, 50 keys for each call, for it needs the time more.

        None leaves what was said last.
        """
        for state in states:
            self._waiting[state.operator_id] = state
            self._offered[state.operator_id] = state.state, state.since
        if is_behind is not None:
            self._is_behind = is_behind
        self._has_turn.set()
        if self._waiting:
            self._is_idle.clear()
            self._has_work.set()

    @property
    def offered(self) -> Offered:
        """Tell what was offered last, written or still waiting."""
        return self._offered

    async def settle(self, seconds: float) -> bool:
        """Write what waits, for at most so long; tell whether nothing waits any more."""
        self.offer((), is_behind=False)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._is_idle.wait(), seconds)
        return self._is_idle.is_set()

    async def run(self) -> None:
        """Write what is offered, until cancelled."""
        while True:
            await self._has_work.wait()
            await self._has_turn.wait()
            limit = AT_ONCE
            if self._is_behind:
                limit = AT_ONCE_BEHIND
                self._has_turn.clear()
            if not await self._write([self._waiting.pop(key) for key in list(self._waiting)[:limit]]):
                await asyncio.sleep(REST_SECONDS)
            if not self._waiting:
                self._has_work.clear()
                self._is_idle.set()

    async def _write(self, states: list[LiveState]) -> bool:
        """Write a few keys; those that failed wait again, unless a newer value has come meanwhile."""
        answers = await self._acks.publish([_entry(state) for state in states])
        now = datetime.now(UTC)
        written = 0
        for state, answer in zip(states, answers, strict=True):
            if answer is None or answer.code:
                self._waiting.setdefault(state.operator_id, state)
                continue
            written += 1
            if state.received_at is not None:
                metrics.live_seconds.observe(max((now - state.received_at).total_seconds(), 0.0))
        metrics.kv_set.labels("ok").inc(written)
        metrics.kv_set.labels("error").inc(len(states) - written)
        return written == len(states)


def _entry(state: LiveState) -> Outgoing:
    subject = f"$KV.{LIVE_VIEW.name}.{state.operator_id}"
    return Outgoing(subject, state.payload()) if state.is_known else Outgoing(subject, b"", _DELETED)
