"""Phone numbers as people write and paste them, brought to + and digits (ITU-T E.164)."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from operators.errors import FieldProblem, InvalidPayload

SHORTEST: Final = 4  # digits
LONGEST: Final = 15
DIGITS: Final = re.compile(r"[0-9]+")
ROUNDED: Final = re.compile(r"[0-9][.,]?[0-9]*E\+?[0-9]+", re.IGNORECASE)
# Beside spaces and dashes of every kind; Cf is what copying from chats and mails leaves invisibly around a number.
BETWEEN: Final = frozenset("()./\t")
LEFT_OUT: Final = frozenset({"Zs", "Pd", "Cf"})


def parse_number(text: str, *, field: str = "to") -> str:
    """Return + and 4 to 15 digits; raises InvalidPayload on `field` with the rule that is broken."""
    # Full-width digits and signs become plain ones.
    plain = unicodedata.normalize("NFKC", text)
    number = "".join(sign for sign in plain if sign not in BETWEEN and unicodedata.category(sign) not in LEFT_OUT)
    problem = _problem(plain.replace(" ", ""), number)
    if problem:
        raise InvalidPayload([FieldProblem(field, problem)])
    return number


def _problem(written: str, number: str) -> str:
    """Tell what is wrong with a number in words that say what to do."""
    digits = number.removeprefix("+")
    if not digits:
        return "Give a number: + and 4 to 15 digits (E.164)."
    if ROUNDED.fullmatch(written.removeprefix("+")):
        return "A spreadsheet has rounded this number: format its column as text and copy it again."
    if not DIGITS.fullmatch(digits):
        return "A number is + and digits; letters and other signs do not belong to it."
    if "(0)" in written:
        return "Leave out the (0): it is dialled only inside the country."
    if not number.startswith("+"):
        if digits.startswith("00"):
            return "Write + instead of 00."
        if digits.startswith("0"):
            return "Write + and the country code instead of the first 0."
        return "Begin with + and the country code."
    if digits.startswith("0"):
        return "No country code begins with 0 (E.164)."
    if len(digits) < SHORTEST:
        return f"A number has at least {SHORTEST} digits."
    if len(digits) > LONGEST:
        return f"A number has at most {LONGEST} digits (E.164), not {len(digits)}."
    return ""
