"""Look into the dead letters: what came from the connectors and could not be taken in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from nats.js import JetStreamContext
from nats.js.api import RawStreamMsg
from nats.js.errors import NotFoundError

from health.streams import DEAD_LETTERS
from operators import jetstream
from operators.wire import rfc3339

AT_A_TIME: Final = 100
SHOWN_BYTES: Final = 200


@dataclass(frozen=True)
class DeadReport:
    """One dead letter; `sequence` is the original's place in SMPP_HEALTH, None where it came over REST."""

    stored_at: datetime
    reason: str
    field: str
    message: str
    subject: str
    sequence: int | None
    size: int
    # The sender's own bytes, escaped so that a terminal takes nothing in them for a command.
    start: str

    @classmethod
    def of(cls, stored: RawStreamMsg) -> DeadReport:
        assert stored.time is not None
        headers, raw = stored.headers or {}, stored.data or b""
        sequence = headers.get("Ops-Dead-Sequence", "")
        return cls(
            stored_at=stored.time,
            reason=headers.get("Ops-Dead-Reason", ""),
            field=headers.get("Ops-Dead-Field", ""),
            message=headers.get("Ops-Dead-Message", ""),
            subject=headers.get("Ops-Dead-Subject", ""),
            sequence=int(sequence) if sequence.isdigit() else None,
            size=len(raw),
            start=repr(raw[:SHOWN_BYTES])[2:-1],
        )

    def as_json(self) -> dict[str, str | int | None]:
        return {
            "storedAt": rfc3339(self.stored_at),
            "reason": self.reason,
            "field": self.field,
            "message": self.message,
            "subject": self.subject,
            "sequence": self.sequence,
            "size": self.size,
            "start": self.start,
        }


async def dead_reports(*, reason: str = "", limit: int) -> list[DeadReport]:
    """Return the newest dead letters first; raises NatsError, OSError or TimeoutError.

    One question per letter, a hundred at a time: looking for a rare reason reads them all.
    """
    found: list[DeadReport] = []
    async with jetstream.connection("list_dead_reports") as client:
        async for stored in _newest_first(client.jetstream(timeout=5)):
            report = DeadReport.of(stored)
            if not reason or report.reason == reason:
                found.append(report)
            if len(found) >= limit:
                break
    return found


async def _newest_first(js: JetStreamContext) -> AsyncIterator[RawStreamMsg]:
    state = (await js.stream_info(DEAD_LETTERS.name)).state
    last = state.last_seq
    while state.messages and last >= state.first_seq:
        first = max(state.first_seq, last - AT_A_TIME + 1)
        for stored in await asyncio.gather(*(_get(js, sequence) for sequence in range(last, first - 1, -1))):
            if stored is not None:
                yield stored
        last = first - 1


async def _get(js: JetStreamContext, sequence: int) -> RawStreamMsg | None:
    try:
        return await js.get_msg(DEAD_LETTERS.name, sequence)
    except NotFoundError:  # too old meanwhile
        return None
