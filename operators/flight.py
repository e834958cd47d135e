"""A batch of events on its way to the broker, and what the broker answers to each."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, field
from typing import Self
from uuid import UUID

from nats.aio.msg import Msg
from nats.js.api import Header, StatusCode


@dataclass(frozen=True, slots=True)
class PendingEvent:
    """One row of the outbox, as the drainer needs it; the payload is JSON text that nobody here parses."""

    id: int
    event_id: str
    operator_id: UUID
    subject: str
    payload: str
    traceparent: str
    attempts: int

    @property
    def kind(self) -> str:
        """The metric's label: created, updated, deleted or health."""
        return self.subject.rpartition(".")[2]


@dataclass(frozen=True, slots=True)
class Answer:
    """One acknowledgement of JetStream, or its refusal with the server's codes; code 0 is an acknowledgement."""

    stream: str = ""
    sequence: int = 0
    is_duplicate: bool = False
    code: int = 0
    err_code: int = 0
    text: str = ""

    @classmethod
    def of(cls, message: Msg) -> Self:
        if message.headers and message.headers.get(Header.STATUS.value) == StatusCode.SERVICE_UNAVAILABLE.value:
            return cls(code=503, text="no stream takes this subject")
        body = json.loads(message.data)
        if error := body.get("error"):
            return cls(code=error["code"], err_code=error.get("err_code", 0), text=error.get("description", ""))
        return cls(stream=body["stream"], sequence=body["seq"], is_duplicate=body.get("duplicate", False))


@dataclass(frozen=True, slots=True)
class Acknowledged:
    event: PendingEvent
    stream: str
    sequence: int


@dataclass(frozen=True, slots=True)
class Refused:
    """The broker will not have this very event; others are not to blame for it."""

    event: PendingEvent
    reason: str


@dataclass(slots=True)
class Outcome:
    """What became of a batch. Events in neither list were not stored, or nobody knows: they stay pending.

    `away` gives for each stream that took nothing the reason; `is_displaced` says that order alone was in the way.
    """

    acknowledged: list[Acknowledged] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    away: dict[str, str] = field(default_factory=dict)
    is_displaced: bool = False

    @property
    def has_progress(self) -> bool:
        return bool(self.acknowledged or self.refused or self.is_displaced)


@dataclass(slots=True)
class Flight:
    """Events on the wire, in order, and the answers by their position."""

    number: int
    events: list[PendingEvent] = field(default_factory=list)
    answers: dict[int, Answer] = field(default_factory=dict)
    outcome: Outcome = field(default_factory=Outcome)
    is_lost: bool = False
    started_ns: int = field(default_factory=time.time_ns)
    _is_sent: bool = False
    _is_complete: asyncio.Event = field(default_factory=asyncio.Event)

    def sent(self) -> None:
        """Say that no more events follow."""
        self._is_sent = True
        self._check()

    def note(self, position: int, answer: Answer) -> None:
        self.answers[position] = answer
        self._check()

    async def complete(self, seconds: float) -> bool:
        """Wait until each event has its answer, at most so long; tell whether it has."""
        try:
            await asyncio.wait_for(self._is_complete.wait(), seconds)
        except TimeoutError:
            return False
        return True

    def _check(self) -> None:
        if self._is_sent and len(self.answers) == len(self.events):
            self._is_complete.set()
