"""A connector's report about one bind: its form on the wire, and why one of another form is set aside (contract §5)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Final, NoReturn
from uuid import UUID

import msgspec
from msgspec import Meta, Struct

# A real report has some 300 bytes.
MAX_BYTES: Final = 64 * 1024
MAX_AHEAD: Final = timedelta(minutes=5)

Text = Annotated[str, Meta(min_length=1, max_length=128, pattern=r"^[\x20-\x7e]+$")]


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


@dataclass(frozen=True)
class Malformed(Exception):
    """A message that is no acceptable report; `field` is a wire name, empty where the whole body is at fault."""

    reason: DeadReason
    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}" if self.field else self.message


_decoder: Final = msgspec.json.Decoder(Report)
_PATH: Final = re.compile(r"^(?P<message>.*?)(?: - at `\$\.?(?P<field>[^`]*)`)?$", re.DOTALL)
_MISSING: Final = re.compile(r"missing required field `(\w+)`")


def parse(raw: bytes, *, now: datetime) -> Report:
    """Decode and check one message's body; raises Malformed."""
    if not raw:
        raise Malformed(DeadReason.EMPTY, "", "The body is empty.")
    if len(raw) > MAX_BYTES:
        raise Malformed(DeadReason.TOO_LARGE, "", f"The body has {len(raw)} bytes; {MAX_BYTES} are allowed.")
    try:
        report = _decoder.decode(raw)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        _refuse(raw, error)
    if report.observed_at > now + MAX_AHEAD:
        raise Malformed(DeadReason.FUTURE, "observedAt", "More than 5 minutes ahead of our clock.")
    return report


def _refuse(raw: bytes, error: Exception) -> NoReturn:
    """Say what is wrong with a body that could not be decoded."""
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        raise Malformed(DeadReason.NOT_UTF8, "", "The body is not UTF-8.") from None
    if not isinstance(error, msgspec.ValidationError):
        text = "nested too deeply" if isinstance(error, RecursionError) else "not JSON"
        raise Malformed(DeadReason.NOT_JSON, "", f"The body is {text}.") from None
    match = _PATH.match(str(error))
    assert match is not None
    missing = _MISSING.search(match["message"])
    field = missing[1] if missing else match["field"] or ""
    raise Malformed(DeadReason.INVALID_FIELD, field, "This field is required." if missing else match["message"])
