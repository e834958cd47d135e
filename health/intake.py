"""Take reports that come over HTTP into the stream: one way for all of them, with ingest alone behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec
from nats.js.api import Header

from health.deadletters import DeadLetter, count
from health.errors import BrokerUnavailable
from health.reports import DeadReason, Malformed, Report, parse
from health.sender import sender
from operators.errors import FieldProblem, InvalidPayload
from operators.models import Operator
from operators.pubacks import Outgoing
from operators.tracing import span, traceparent

MAX_BATCH: Final = 1000
# What a dead letter names in place of the subject that its report did not come on.
DOOR: Final = "POST /v1/internal/health"


@dataclass(frozen=True, slots=True)
class Rejected:
    """A report that is none, by its place in the batch; the event id where it could be read."""

    index: int
    event_id: UUID | None
    malformed: Malformed


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a batch that the broker holds now, its dead letters included."""

    accepted: int
    rejected: list[Rejected]


class _Named(msgspec.Struct, rename="camel"):
    event_id: UUID | None = None


def split(body: bytes) -> tuple[list[bytes], bool]:
    """Part a body into reports, as they are on the wire, and tell whether it was an array.

    Raises InvalidPayload for an array that is empty or too long, and Malformed for one that cannot be parted.
    """
    if body.lstrip(b" \t\r\n")[:1] != b"[":
        return [body], False
    try:
        reports = msgspec.json.decode(body, type=list[msgspec.Raw])
    except (msgspec.MsgspecError, RecursionError) as error:
        text = "nested too deeply" if isinstance(error, RecursionError) else "not JSON"
        raise Malformed(DeadReason.NOT_JSON, "", f"The body is {text}.") from None
    if not 1 <= len(reports) <= MAX_BATCH:
        raise InvalidPayload([FieldProblem("body", f"A batch has 1 to {MAX_BATCH} reports.")])
    return [bytes(report) for report in reports], True


def take(raws: Sequence[bytes], *, now: datetime) -> Receipt:
    """Publish the good ones as their connector would, and the others as dead letters; all are stored on return.

    Raises BrokerUnavailable, which tells what is not known to be stored. Sending everything again is harmless: the
    broker drops what it holds by the event id, and ingest what is logged.
    """
    good, rejected = _sorted(raws, now)
    with span("ops.nats.publish", action="smpp.health"):
        parent = traceparent()
        messages = [_message(report, raws[index], parent) for index, report in good.items()]
        letters = [_letter(raws[each.index], each.malformed) for each in rejected]
        stored = sender.send([*messages, *letters])
    count(each.malformed for each, is_stored in zip(rejected, stored[len(good) :], strict=True) if is_stored)
    if not all(stored):
        # The letters come last; where only they are missing, no report is pending.
        pending = [
            {"index": index, "eventId": str(report.event_id)}
            for (index, report), is_stored in zip(good.items(), stored[: len(good)], strict=True)
            if not is_stored
        ]
        raise BrokerUnavailable(accepted=len(good) - len(pending), pending=pending)
    return Receipt(accepted=len(good), rejected=rejected)


def bury(raw: bytes, malformed: Malformed) -> None:
    """Put a body that holds no report at all among the dead letters; raises BrokerUnavailable."""
    if not all(sender.send([_letter(raw, malformed)])):
        raise BrokerUnavailable(accepted=0, pending=[])
    count([malformed])


def _sorted(raws: Sequence[bytes], now: datetime) -> tuple[dict[int, Report], list[Rejected]]:
    """Sort the reports by whether they can be taken; one query finds out which operators there are."""
    parsed: dict[int, Report] = {}
    refused: dict[int, Malformed] = {}
    for index, raw in enumerate(raws):
        try:
            parsed[index] = parse(raw, now=now)
        except Malformed as malformed:
            refused[index] = malformed
    wanted = {report.operator_id for report in parsed.values()}
    live = set(Operator.objects.live().filter(pk__in=wanted).values_list("pk", flat=True)) if wanted else set()
    for index, report in parsed.items():
        if report.operator_id not in live:
            refused[index] = Malformed(DeadReason.UNKNOWN_OPERATOR, "operatorId", "There is no such operator.")
    good = {index: report for index, report in parsed.items() if index not in refused}
    return good, [Rejected(index, _event_id(raws[index]), refused[index]) for index in sorted(refused)]


def _event_id(raw: bytes) -> UUID | None:
    try:
        return msgspec.json.decode(raw, type=_Named).event_id
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None


def _message(report: Report, raw: bytes, parent: str) -> Outgoing:
    headers = {Header.MSG_ID.value: str(report.event_id), "Content-Type": "application/json"}
    if parent:
        headers["traceparent"] = parent
    return Outgoing(f"smpp.health.{report.operator_id}", raw, headers)


def _letter(raw: bytes, malformed: Malformed) -> Outgoing:
    return DeadLetter(DOOR, raw, malformed).outgoing()
