"""Read single cells; a Fault says the rule in words for staff."""

from __future__ import annotations

import re
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Final

from django.core.exceptions import ValidationError

from operators.validators import parse_cost, validate_currency
from routing.ratesheets.grids import Cell, Formula
from routing.ratesheets.lines import DateOrder

MOST_SHOWN: Final = 100
_ERRORS: Final = frozenset({"#N/A", "#REF!", "#VALUE!", "#DIV/0!", "#NAME?", "#NULL!", "#NUM!", "#SPILL!", "#CALC!"})
_SIGNS: Final = {"€": "EUR", "£": "GBP"}
_PLAIN: Final = {
    ".": re.compile(r"-?(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,2})?"),
    ",": re.compile(r"-?(?:[0-9]+(?:,[0-9]+)?|,[0-9]+)(?:[eE][+-]?[0-9]{1,2})?"),
}
# A lone group of three is no proof: 1,234 may be the decimal 1.234 of another country.
_GROUPED: Final = {
    ".": re.compile(r"-?[1-9][0-9]{0,2}(?:(?:,[0-9]{3})+\.[0-9]+|(?:,[0-9]{3}){2,})"),
    ",": re.compile(r"-?[1-9][0-9]{0,2}(?:(?:\.[0-9]{3})+,[0-9]+|(?:\.[0-9]{3}){2,})"),
}
_TIME: Final = r"(?:[T ]\s*([0-9]{1,2}):([0-9]{2})(?::([0-9]{2})(?:\.0+)?)?\s*Z?)?"
_YEAR_FIRST: Final = re.compile(rf"([0-9]{{4}})([-/.])([0-9]{{1,2}})\2([0-9]{{1,2}}){_TIME}")
_COMPACT: Final = re.compile(rf"([0-9]{{4}})([0-9]{{2}})([0-9]{{2}}){_TIME}")
_YEAR_LAST: Final = re.compile(rf"([0-9]{{1,2}})([-/.])([0-9]{{1,2}})\2([0-9]{{4}}|[0-9]{{2}}){_TIME}")
_DAY_MONTH: Final = re.compile(rf"([0-9]{{1,2}})[-/. ]*([A-Za-z]{{3,9}})\.?[-/., ]*([0-9]{{4}}|[0-9]{{2}}){_TIME}")
_MONTH_DAY: Final = re.compile(rf"([A-Za-z]{{3,9}})\.?[ -]*([0-9]{{1,2}}),?[- ]+([0-9]{{4}}){_TIME}")
_MONTHS: Final = (
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
)
# The days that a bare number of a spreadsheet may mean: 2000-01-01 to 2099-12-31.
_SERIALS: Final = range(36_526, 73_051)


class Fault(Exception):
    """The cell breaks a rule; the message is a sentence."""


def text_of(cell: Cell) -> str:
    """Write a cell as a person would read it; a whole number has no decimals."""
    if isinstance(cell, str):
        return cell.strip()
    match cell:
        case None:
            return ""
        case bool():
            return str(cell).upper()
        case int():
            return str(cell)
        case float():
            # A spreadsheet computes with 17 digits and shows 15.
            return str(int(cell)) if cell.is_integer() and abs(cell) < 1e15 else format(cell, ".15g")
        case datetime():
            return cell.isoformat(" ")
        case _:
            return str(cell)


def shown(text: str) -> str:
    """Cut and clean what is shown back: no control or direction marks reach a page or a terminal."""
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text[:MOST_SHOWN])


def read_prefix(cell: Cell) -> str:
    """Return the prefix with its + (E.164), or nothing for a blank cell."""
    text = _code(cell, "prefix")
    # An apostrophe keeps spreadsheets from computing with what follows it.
    digits = text.removeprefix("'").removeprefix("+")
    if digits.isdecimal() and digits.isascii() and digits[0] != "0" and len(digits) <= 15:
        return f"+{digits}"
    if not text:
        return ""
    raise Fault(_prefix_fault(digits))


def read_area_code(cell: Cell) -> str:
    """Return what follows a country code that has a column of its own; both together are checked as a prefix."""
    return _code(cell, "area code")


def _prefix_fault(digits: str) -> str:
    if digits.startswith("00"):
        return "The prefix begins with 00; write it with + and the country code."
    if digits.startswith("0"):
        return "The prefix begins with 0; write it with + and the country code (E.164)."
    if digits.isdecimal() and digits.isascii():
        return f"The prefix has {len(digits)} digits; E.164 allows 15."
    if re.fullmatch(r"[0-9][.,][0-9]+[eE]\+?[0-9]+", digits):
        return (
            "A spreadsheet has shortened the prefix to a power of ten; format the column as text and export it again."
        )
    if re.fullmatch(r"[0-9+\s,;/-]+", digits) and digits:
        return "The prefix is one code of digits only; put each code on a line of its own."
    return "The prefix has something other than digits in it; it is + and 1 to 15 digits (E.164)."


def read_cost(cell: Cell, decimal_mark: str) -> Decimal:
    """Return the price per segment."""
    _refuse_odd(cell, "price")
    if isinstance(cell, (datetime, time, timedelta)):
        raise Fault("The price is formatted as a date; it is a number such as 0.0415.")
    text = text_of(cell)
    if not text:
        raise Fault("The price is blank.")
    if isinstance(cell, str):
        text = _plain_number(text, decimal_mark)
    try:
        cost = parse_cost(_without_idle_zeros(text))
    except ValidationError as error:
        raise Fault(error.message) from None
    return cost


def _plain_number(text: str, decimal_mark: str) -> str:
    if _PLAIN[decimal_mark].fullmatch(text):
        return text.replace(",", ".")
    other = "," if decimal_mark == "." else "."
    if _GROUPED[decimal_mark].fullmatch(text):
        return text.replace(other, "").replace(",", ".")
    if _PLAIN[other].fullmatch(text):
        raise Fault(f"The price is written with another decimal mark than the sheet's, which is {decimal_mark!r}.")
    raise Fault("The price is a number such as 0.0415.")


def _without_idle_zeros(number: str) -> str:
    """Drop zeros behind the sixth decimal, which change nothing."""
    whole, mark, decimals = number.partition(".")
    if len(decimals) > 6 and decimals.isdecimal():
        return f"{whole}{mark}{decimals[:6]}{decimals[6:].rstrip('0')}"
    return number


def read_currency(cell: Cell) -> str:
    """Return the ISO 4217 code, or nothing for a blank cell."""
    _refuse_odd(cell, "currency")
    return _currency(text_of(cell))


@lru_cache(maxsize=1024)
def _currency(text: str) -> str:
    if not text:
        return ""
    code = _SIGNS.get(text, text.upper())
    try:
        validate_currency(code)
    except ValidationError as error:
        many = " $ is the sign of many currencies." if text == "$" else ""
        raise Fault(f"{error.message}{many}") from None
    return code


def read_moment(cell: Cell, date_order: DateOrder, epoch: datetime, what: str) -> datetime | None:
    """Return the moment, midnight UTC unless a time is given; None for a blank cell."""
    _refuse_odd(cell, what)
    match cell:
        case datetime():
            return cell.replace(tzinfo=UTC)
        case int() | float() if _SERIALS.start <= cell < _SERIALS.stop:
            # To the second: a fraction of a day is never exact.
            return epoch.replace(tzinfo=UTC) + timedelta(seconds=round(cell * 86_400))
    text = text_of(cell)
    return _moment(text, date_order, epoch, what) if text else None


@lru_cache(maxsize=4096)
def _moment(text: str, date_order: DateOrder, epoch: datetime, what: str) -> datetime:
    if re.fullmatch(r"[0-9]{5}", text) and int(text) in _SERIALS:
        return epoch.replace(tzinfo=UTC) + timedelta(days=int(text))
    year, month, day, *clock = _date_parts(" ".join(text.split()), date_order, what)
    hour, minute, second = (int(each or 0) for each in clock)
    try:
        return datetime(int(year), int(month), int(day), hour, minute, second, tzinfo=UTC)
    except ValueError:
        raise Fault(f"The {what} is no day of the calendar, read in the order {_words(date_order)}.") from None


def _date_parts(text: str, date_order: DateOrder, what: str) -> tuple[str, ...]:
    if found := _YEAR_FIRST.fullmatch(text):
        year, _, month, day, *clock = found.groups()
    elif found := _COMPACT.fullmatch(text):
        year, month, day, *clock = found.groups()
    elif found := _YEAR_LAST.fullmatch(text):
        day, _, month, year, *clock = found.groups()
        if date_order is DateOrder.MONTH_FIRST:
            day, month = month, day
    elif found := _DAY_MONTH.fullmatch(text):
        day, name, year, *clock = found.groups()
        month = _month(name, what)
    elif found := _MONTH_DAY.fullmatch(text):
        name, day, year, *clock = found.groups()
        month = _month(name, what)
    else:
        raise Fault(f"The {what} is no date such as 2026-12-01 or 01.12.2026.")
    if len(year) == 2:
        raise Fault(f"The {what} has a year of two digits, which may mean several days; write four.")
    return year, month, day, *clock


def _month(name: str, what: str) -> str:
    name = name.lower()
    for number, month in enumerate(_MONTHS, 1):
        if month.startswith(name) or (name == "sept" and number == 9):
            return str(number)
    raise Fault(f"The {what} names no month; write a date such as 2026-12-01.")


def _words(date_order: DateOrder) -> str:
    return "day, month, year" if date_order is DateOrder.DAY_FIRST else "month, day, year"


def read_mcc(cell: Cell) -> str:
    """Return the mobile country code, or nothing for a blank cell (E.212)."""
    text = _code(cell, "MCC")
    if text and not re.fullmatch(r"[0-9]{3}", text):
        raise Fault("An MCC has 3 digits (E.212).")
    return text


def read_mnc(cell: Cell) -> str:
    """Return the mobile network code, or nothing for a blank cell (E.212).

    A single digit has lost its zero in a spreadsheet; two digits are far more common than three.
    """
    text = _code(cell, "MNC")
    if text and not re.fullmatch(r"[0-9]{1,3}", text):
        raise Fault("An MNC has 2 or 3 digits (E.212).")
    return text.zfill(2) if text else ""


def read_mcc_mnc(cell: Cell) -> tuple[str, str]:
    """Part one cell such as 23410, 234-10 or 234/10; the MNC may be left out."""
    text = _code(cell, "MCC and MNC")
    if not text:
        return "", ""
    if not (found := re.fullmatch(r"([0-9]{3})(?:\s*[-/_. ]?\s*([0-9]{2,3}))?", text)):
        raise Fault("The cell holds an MCC of 3 digits and an MNC of 2 or 3, such as 23410.")
    return found[1], found[2] or ""


def _code(cell: Cell, what: str) -> str:
    """Take a cell that holds digits as text, though a spreadsheet may have made a number of it."""
    _refuse_odd(cell, what)
    if isinstance(cell, (datetime, time, timedelta)):
        raise Fault(f"The {what} is formatted as a date; format it as text.")
    return text_of(cell)


def _refuse_odd(cell: Cell, what: str) -> None:
    """Raise Fault for what no column may hold."""
    if type(cell) is str and cell[:1] != "#":
        return  # nearly all cells
    if isinstance(cell, Formula):
        raise Fault(f"The {what} holds a formula; export values.")
    if isinstance(cell, bool):
        raise Fault(f"The {what} holds a truth value.")
    if isinstance(cell, str) and cell.strip() in _ERRORS:
        raise Fault(f"The {what} holds the spreadsheet's error {cell.strip()}.")
