"""Messages of the stream, told apart: reports, and what is none."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from health.deadletters import DeadLetter
from health.ingest import Received
from health.pull import Delivery
from health.reports import DeadReason, Malformed, Report, parse
from health.streams import DEAD_SUBJECT


def sort(messages: Iterable[Delivery], *, now: datetime) -> tuple[list[Received], list[DeadLetter]]:
    """Parse each message; dead letters that come by in the stream are left out, for they have been counted."""
    received: list[Received] = []
    letters: list[DeadLetter] = []
    for message in messages:
        if message.subject == DEAD_SUBJECT:
            continue
        try:
            report = parse(message.data, now=now)
            _check_subject(message.subject, report)
        except Malformed as malformed:
            letters.append(DeadLetter(message.subject, message.data, malformed, message.sequence))
        else:
            received.append(Received(report, message.received_at, message.subject, message.data, message.sequence))
    return received, letters


def refused(received: Received, reason: DeadReason, field: str, message: str) -> DeadLetter:
    """Make a dead letter of a well-formed report."""
    return DeadLetter(received.subject, received.raw, Malformed(reason, field, message), received.sequence)


def _check_subject(subject: str, report: Report) -> None:
    # Whoever may publish for one operator alone must not speak for another one.
    if subject.rpartition(".")[2].lower() != str(report.operator_id):
        raise Malformed(DeadReason.WRONG_SUBJECT, "operatorId", "The subject names another operator.")
