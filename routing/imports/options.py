"""What may be said about a sheet besides what is written in it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.core.exceptions import ValidationError

from operators.errors import FieldProblem, InvalidPayload
from operators.validators import validate_currency


@dataclass(frozen=True)
class SheetOptions:
    """How a sheet is meant.

    `currency` is for lines without one: the remembered one or USD unless given. `effective_from` is for lines without
    a date: the moment of the upload unless given. `is_full`: whatever the sheet does not name ends, at
    `missing_end_at`, or at the earliest date of the sheet.
    """

    currency: str = ""
    effective_from: datetime | None = None
    is_full: bool = False
    missing_end_at: datetime | None = None

    def check(self) -> None:
        """Raise InvalidPayload for what no sheet can mean."""
        problems = []
        if self.currency:
            try:
                validate_currency(self.currency)
            except ValidationError as error:
                problems.append(FieldProblem("currency", error.messages[0]))
        if self.missing_end_at is not None and not self.is_full:
            problems.append(FieldProblem("missingEndAt", "Only what a full sheet does not name ends."))
        if problems:
            raise InvalidPayload(problems)
