"""A connector's report about one bind: its form on the wire, and why one of another form is set aside (contract §5)."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, Final, NoReturn
from uuid import UUID

import msgspec
from msgspec import Meta, Struct, structs

# A real report has some 300 bytes.
MAX_BYTES: Final = 64 * 1024
MAX_AHEAD: Final = timedelta(minutes=5)
# Earlier years have fewer than four digits in what strftime writes, which is no RFC 3339 any more; a day more, so that
# neither an offset nor a minute leads there.
EARLIEST: Final = datetime(1000, 1, 2, tzinfo=UTC)

Text = Annotated[str, Meta(min_length=1, max_length=128)]

_TEXT_RULE: Final = "1 to 128 printable ASCII characters"
RULES: Final = {
    "": "The body must be a JSON object.",
    "eventId": "Must be a UUID.",
    "operatorId": "Must be a UUID.",
    "connectorId": f"Must be {_TEXT_RULE}.",
    "observedAt": "Must be an RFC 3339 time with an offset, such as 2026-11-01T12:00:00Z.",
    "bindState": "Must be BOUND, UNBOUND or FAILBACK.",
    "errorRate": "Must be a number from 0 to 1.",
    "bindError": f"Must be null or {_TEXT_RULE}.",
    "latencyMs": "Must be null or a whole number from 0 to 2147483647.",
}
# Of the quotation marks that a report cannot do without: around its eight keys, and around the values that are text.
_FEWEST_QUOTES: Final = 2 * (8 + 5)


class BindState(StrEnum):
    BOUND = "BOUND"
    UNBOUND = "UNBOUND"
    FAILBACK = "FAILBACK"


class DeadReason(StrEnum):
    """Why a message is no report; the label of ops_health_dead_total and a header of the dead letter."""

    EMPTY = "EMPTY"
    TOO_LARGE = "TOO_LARGE"
    NOT_UTF8 = "NOT_UTF8"
    NOT_JSON = "NOT_JSON"
    INVALID_FIELD = "INVALID_FIELD"
    FUTURE = "FUTURE"
    WRONG_SUBJECT = "WRONG_SUBJECT"
    UNKNOWN_OPERATOR = "UNKNOWN_OPERATOR"


class Report(Struct, frozen=True, gc=False, rename="camel"):
    """One report; fields that we do not know are ignored, so that a connector may be upgraded before us."""

    event_id: UUID
    operator_id: UUID
    connector_id: Text
    observed_at: Annotated[datetime, Meta(tz=True)]
    bind_state: BindState
    error_rate: Annotated[float, Meta(ge=0, le=1)]
    # An SMPP status name such as ESME_RBINDFAIL (SMPP v3.4 §5.1.3); vendors have names of their own.
    bind_error: Text | None
    latency_ms: Annotated[int, Meta(ge=0, le=2_147_483_647)] | None

    @property
    def is_bound(self) -> bool:
        """FAILBACK, a bind over the backup's account, counts as bound."""
        return self.bind_state is not BindState.UNBOUND


# Not frozen: contextlib sets the traceback of an exception that passes through it.
@dataclass(eq=False)
class Malformed(Exception):
    """A message that is no acceptable report; `field` is a wire name, empty where the whole body is at fault.

    The message names the rule, never the value.
    """

    reason: DeadReason
    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}" if self.field else self.message


_decoder: Final = msgspec.json.Decoder(Report)
_FIELD: Final = re.compile(r" - at `\$\.(\w+)`$")
_MISSING: Final = re.compile(r"Object missing required field `(\w+)`")
_POSITION: Final = re.compile(r"\(byte (\d+)\)$")


def parse(raw: bytes, *, now: datetime) -> Report:
    """Decode and check one message's body; raises Malformed."""
    if not raw:
        raise Malformed(DeadReason.EMPTY, "", "The body is empty.")
    if len(raw) > MAX_BYTES:
        raise Malformed(DeadReason.TOO_LARGE, "", f"The body has {len(raw)} bytes; {MAX_BYTES} are allowed.")
    try:
        # msgspec skips a field that we do not know without a look at its encoding.
        text = raw.decode()
        report = _decoder.decode(text)
    except UnicodeDecodeError as error:
        raise Malformed(DeadReason.NOT_UTF8, "", f"The body is not UTF-8: see byte {error.start}.") from None
    except RecursionError:
        _refuse_depth()
    except msgspec.ValidationError as error:
        _refuse_field(str(error))
    except msgspec.DecodeError as error:
        position = _POSITION.search(str(error))
        where = f", near byte {position[1]}" if position else ""
        raise Malformed(DeadReason.NOT_JSON, "", f"The body is not JSON{where}.") from None
    if text.count('"') != _FEWEST_QUOTES + (0 if report.bind_error is None else 2):
        # There is something else: a field that we do not know, an escape, or a key for the second time.
        _refuse_repeated_keys(text)
    if not _is_printable(report.connector_id):
        raise _broken("connectorId")
    if report.bind_error is not None and not _is_printable(report.bind_error):
        raise _broken("bindError")
    if report.observed_at > now + MAX_AHEAD:
        raise Malformed(DeadReason.FUTURE, "observedAt", "More than 5 minutes ahead of our clock.")
    if report.observed_at < EARLIEST:
        raise Malformed(DeadReason.INVALID_FIELD, "observedAt", "Too long ago.")
    if report.observed_at.tzinfo is not UTC:
        # RFC 3339 has offsets up to 23:59, PostgreSQL reads those below 16 hours.
        report = structs.replace(report, observed_at=report.observed_at.astimezone(UTC))
    return report


def _is_printable(text: str) -> bool:
    # A third of the time that a pattern takes.
    return text.isascii() and text.isprintable()


def _broken(field: str) -> Malformed:
    return Malformed(DeadReason.INVALID_FIELD, field, RULES[field])


def _refuse_field(text: str) -> NoReturn:
    if missing := _MISSING.fullmatch(text):
        raise Malformed(DeadReason.INVALID_FIELD, missing[1], "This field is required.") from None
    found = _FIELD.search(text)
    raise _broken(found[1] if found else "") from None


def _refuse_depth() -> NoReturn:
    raise Malformed(DeadReason.NOT_JSON, "", "The body is nested too deeply.") from None


def _refuse_repeated_key(pairs: list[tuple[str, Any]]) -> None:
    if len(dict(pairs)) == len(pairs):
        return
    # Counted in one pass: there may be thousands.
    [(name, _)] = Counter(key for key, _ in pairs).most_common(1)
    # The name is the sender's own text and goes into headers and logs.
    shown = ascii(name[:64])[1:-1]
    raise Malformed(DeadReason.INVALID_FIELD, shown, "This field is given more than once.")


# As text, for a number that nobody reads may have more digits than Python converts.
_pairs_decoder: Final = json.JSONDecoder(object_pairs_hook=_refuse_repeated_key, parse_int=str, parse_float=str)


def _refuse_repeated_keys(text: str) -> None:
    """Refuse a key given twice, of which two readers could take either; costs twice the decoding of a usual report."""
    try:
        _pairs_decoder.decode(text)
    except RecursionError:
        _refuse_depth()
