"""What the address of an upload says about the sheet; each wrong or unknown parameter is refused by its name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from rest_framework.request import Request

from operators.api.filters import refuse_unknown
from operators.api.moments import read_moment
from operators.errors import FieldProblem, InvalidPayload
from routing.imports.options import SheetOptions

FLAGS: Final[Mapping[str, bool]] = {"true": True, "false": False, "": False}
NAMES: Final = frozenset({"dryRun", "confirmLargeChanges", "full", "currency", "effectiveFrom", "filename"})
WANTED: Final = "A day such as 2026-12-01, or a moment with its offset, such as 2026-12-01T06:00:00Z."


@dataclass(frozen=True)
class Parameters:
    is_dry_run: bool
    confirm_large_changes: bool
    filename: str
    options: SheetOptions


def read_parameters(request: Request) -> Parameters:
    """Read them all; raises InvalidPayload with every wrong one."""
    refuse_unknown(request, NAMES)
    problems: list[FieldProblem] = []

    def flag(name: str) -> bool:
        text = request.query_params.get(name, "")
        if text not in FLAGS:
            problems.append(FieldProblem(name, "This parameter is true or false."))
        return FLAGS.get(text, False)

    def moment(name: str) -> datetime | None:
        text = request.query_params.get(name, "")
        try:
            return read_day(text) if text else None
        except ValueError:
            problems.append(FieldProblem(name, WANTED))
            return None

    found = Parameters(
        is_dry_run=flag("dryRun"),
        confirm_large_changes=flag("confirmLargeChanges"),
        filename=request.query_params.get("filename", ""),
        options=SheetOptions(
            currency=request.query_params.get("currency", ""),
            effective_from=moment("effectiveFrom"),
            is_full=flag("full"),
        ),
    )
    if problems:
        raise InvalidPayload(problems)
    return found


def read_day(text: str) -> datetime:
    """Read a moment (RFC 3339) or a day, which begins at 00:00 UTC; raises ValueError."""
    if len(text) == len("2026-12-01"):
        text = f"{date.fromisoformat(text).isoformat()}T00:00:00Z"
    return read_moment(text)
