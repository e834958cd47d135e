"""What becomes of a message that is no acceptable report: it is kept with the reason, and counted."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from nats.js.api import Header

from health import metrics
from health.reports import Malformed
from health.streams import DEAD_SUBJECT
from operators.pubacks import Outgoing, PubAcks

# Enough to see what it was; a larger body would not fit into a message beside its headers.
KEPT_BYTES: Final = 64 * 1024
AT_ONCE: Final = 200


@dataclass(frozen=True)
class DeadLetter:
    """One refused message; `sequence` is its place in the stream, None where it came over REST."""

    subject: str
    raw: bytes
    malformed: Malformed
    sequence: int | None = None

    def outgoing(self) -> Outgoing:
        return Outgoing(DEAD_SUBJECT, self.raw[:KEPT_BYTES], self._headers())

    def _headers(self) -> dict[str, str]:
        headers = {
            # A message that comes again leaves one letter.
            Header.MSG_ID.value: f"dead-{self.sequence or uuid.uuid4()}",
            "Ops-Dead-Reason": self.malformed.reason.value,
            "Ops-Dead-Field": _header(self.malformed.field),
            "Ops-Dead-Message": _header(self.malformed.message),
            "Ops-Dead-Subject": _header(self.subject),
        }
        if self.sequence:
            headers["Ops-Dead-Sequence"] = str(self.sequence)
        return headers


class NotBuried(Exception):
    """The broker has not stored a dead letter, so its original must not be acknowledged."""


async def bury(acks: PubAcks, letters: Sequence[DeadLetter]) -> None:
    """Store dead letters and count them; raises NotBuried when the broker has not stored them all."""
    for start in range(0, len(letters), AT_ONCE):
        chosen = letters[start : start + AT_ONCE]
        answers = await acks.publish([each.outgoing() for each in chosen])
        if any(answer is None or answer.code for answer in answers):
            raise NotBuried
        count(letter.malformed for letter in chosen)


def count(dead: Iterable[Malformed]) -> None:
    """Count messages that were set aside, once they are."""
    for reason, number in Counter(malformed.reason for malformed in dead).items():
        metrics.dead.labels(reason.value).inc(number)
        metrics.reports.labels("dead").inc(number)


def _header(text: str) -> str:
    """Keep to what a header may hold; field names and subjects are a sender's words."""
    return "".join(char if " " <= char <= "~" else "?" for char in text[:500])
