"""Publish recorded reports again, as their connectors would: for rehearsals, for tests, and to refill the log."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Annotated, Final, NamedTuple
from uuid import UUID

import msgspec
from nats.js import JetStreamContext

from health.reports import RULES
from health.streams import SMPP_HEALTH
from operators import jetstream
from operators.models import Operator
from operators.wire import rfc3339

IN_FLIGHT: Final = 200
ACK_SECONDS: Final = 10
DAY: Final = timedelta(days=1)

# The values stay the text that they are: what is wrong with them is for ingest to find.
Fields = dict[str, msgspec.Raw]

_line: Final = msgspec.json.Decoder(Fields)
_name: Final = msgspec.json.Decoder(str)
_id: Final = msgspec.json.Decoder(UUID)
_moment: Final[msgspec.json.Decoder[datetime]] = msgspec.json.Decoder(Annotated[datetime, msgspec.Meta(tz=True)])


# Not frozen: contextlib sets the traceback of an exception that passes through it.
@dataclass(eq=False)
class BadLine(Exception):
    """A line of the file that cannot be published; `field` is empty where the whole line is at fault."""

    number: int
    field: str
    rule: str

    def __str__(self) -> str:
        return f"line {self.number}: {self.field}: {self.rule}" if self.field else f"line {self.number}: {self.rule}"


class Publication(NamedTuple):
    subject: str
    observed_at: datetime
    body: bytes


@dataclass
class Recording:
    """The reports of a file, each checked for what a replay has to know, in the file's order.

    A million of them take some 350 MB: the lines are kept as they are, and taken apart again one by one.
    """

    lines: list[bytes] = field(default_factory=list)
    oldest: datetime | None = None
    newest: datetime | None = None
    # By the name of the field and the JSON text of its value.
    _operators: dict[tuple[str, bytes], UUID] = field(default_factory=dict)

    @property
    def operators(self) -> int:
        return len(set(self._operators.values()))

    def whole_days_until(self, now: datetime) -> timedelta:
        """Find the largest number of whole days that leaves no report in the future; may be negative."""
        return (now - self.newest) // DAY * DAY if self.newest else timedelta(0)

    def publications(self, shift: timedelta) -> Iterator[Publication]:
        """Write every report for the stream, its time moved and its operator named by id."""
        for line in self.lines:
            fields = _line.decode(line)
            key = _key(fields)
            operator_id = self._operators[key, bytes(fields.pop(key))]
            observed_at = _moment.decode(fields["observedAt"]) + shift
            body = {**fields, "operatorId": str(operator_id), "observedAt": rfc3339(observed_at)}
            yield Publication(f"smpp.health.{operator_id}", observed_at, msgspec.json.encode(body))

    def add(self, number: int, line: bytes) -> None:
        """Take a line in; raises BadLine."""
        try:
            fields = _line.decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise BadLine(number, "", "This is not a JSON object.") from None
        if "operator" in fields and "operatorId" in fields:
            raise BadLine(number, "operator", "Give either this or operatorId.")
        key = _key(fields)
        if key not in fields:
            raise BadLine(number, "operator", "This field is required, or operatorId.")
        value = bytes(fields[key])
        if (key, value) not in self._operators:
            self._operators[key, value] = (_by_name if key == "operator" else _by_id)(number, value)
        self._note(_observed_at(number, fields))
        self.lines.append(line)

    def _note(self, observed_at: datetime) -> None:
        if self.oldest is None or observed_at < self.oldest:
            self.oldest = observed_at
        if self.newest is None or observed_at > self.newest:
            self.newest = observed_at


def read(lines: Iterable[bytes]) -> Recording:
    """Read reports, one JSON object a line; raises BadLine at the first that cannot be published. Skips empty lines."""
    recording = Recording()
    for number, line in enumerate(lines, start=1):
        if stripped := line.strip():
            recording.add(number, stripped)
    return recording


class Replay:
    """Publish a recording over one connection; `published` counts what the broker has acknowledged."""

    def __init__(self, recording: Recording, *, shift: timedelta, speed: float) -> None:
        self._recording = recording
        self._shift = shift
        self._speed = speed
        self.published = 0

    async def run(self) -> None:
        """Publish all, in order; raises NatsError, OSError or TimeoutError and leaves the rest.

        A `speed` of 1 takes the time that the reports took, 10 a tenth of it, 0 as little as it can. A late report
        waits for nothing.
        """
        async with jetstream.connection("replay_health") as client:
            js = client.jetstream(timeout=ACK_SECONDS)
            # Fails where bootstrap has not run; also sets the connection up for answers, so that the order is kept.
            await js.stream_info(SMPP_HEALTH.name)
            window: list[Publication] = []
            started, first, newest = time.monotonic(), None, None
            for publication in self._recording.publications(self._shift):
                first = first or publication.observed_at
                newest = max(newest or first, publication.observed_at)
                wait = self._due(newest - first) - (time.monotonic() - started)
                if wait > 0 or len(window) == IN_FLIGHT:
                    await self._send(js, window)
                    window = []
                    # Sending took time too.
                    await asyncio.sleep(max(0.0, self._due(newest - first) - (time.monotonic() - started)))
                window.append(publication)
            await self._send(js, window)

    def _due(self, since_first: timedelta) -> float:
        return since_first.total_seconds() / self._speed if self._speed else 0.0

    async def _send(self, js: JetStreamContext, window: list[Publication]) -> None:
        # Without Nats-Msg-Id: the broker would swallow the reports that the file holds twice, and those of a replay
        # that is repeated at once, and ingest would never show that it can tell them itself.
        answers = await asyncio.gather(
            *(js.publish(each.subject, each.body, timeout=ACK_SECONDS) for each in window), return_exceptions=True
        )
        failures = [answer for answer in answers if isinstance(answer, BaseException)]
        self.published += len(answers) - len(failures)
        if failures:
            raise failures[0]


def _key(fields: Fields) -> str:
    return "operator" if "operator" in fields else "operatorId"


def _by_name(number: int, value: bytes) -> UUID:
    try:
        name = _name.decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise BadLine(number, "operator", "Must be a name.") from None
    # PostgreSQL refuses to compare with NUL.
    found = None if "\0" in name else Operator.objects.same_name(name).first()
    if found is None:
        raise BadLine(number, "operator", "There is no such operator.")
    return found.id


def _by_id(number: int, value: bytes) -> UUID:
    try:
        operator_id = _id.decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise BadLine(number, "operatorId", RULES["operatorId"]) from None
    if not Operator.objects.live().filter(pk=operator_id).exists():
        raise BadLine(number, "operatorId", "There is no such operator.")
    return operator_id


def _observed_at(number: int, fields: Fields) -> datetime:
    if "observedAt" not in fields:
        raise BadLine(number, "observedAt", "This field is required.")
    try:
        return _moment.decode(fields["observedAt"])
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise BadLine(number, "observedAt", RULES["observedAt"]) from None
