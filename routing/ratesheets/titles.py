"""Find the line of the titles, and what each of its columns holds."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import pycountry

from routing.ratesheets.lines import Column

# By letters and digits only, in the order of preference where two columns could be it.
_SYNONYMS: Final[Mapping[Column, tuple[str, ...]]] = {
    Column.PREFIX: (
        "prefix",
        "e164prefix",
        "destinationprefix",
        "numberprefix",
        "prefixes",
        "dialcode",
        "dialingcode",
        "diallingcode",
        "dialcodes",
        "dialprefix",
        "destinationcode",
        "destcode",
        "fullcode",
        "breakout",
        "breakouts",
        "breakoutcode",
        "code",
        "codes",
        "areacode",
        "areacodes",
        "citycode",
        "ndc",
        "nationaldestinationcode",
    ),
    Column.COST: (
        "newprice",
        "newrate",
        "price",
        "rate",
        "cost",
        "tariff",
        "unitprice",
        "unitcost",
        "unitrate",
        "pricepersms",
        "pricesms",
        "ratepersms",
        "ratesms",
        "costpersms",
        "costsms",
        "smsprice",
        "smsrate",
        "smscost",
        "pricepersegment",
        "pricesegment",
        "ratepersegment",
        "costpersegment",
        "costsegment",
        "pricepermessage",
        "ratepermessage",
        "costpermessage",
        "netprice",
        "netrate",
        "pricesubmit",
        "submitprice",
        "priceonsubmit",
        "prices",
        "rates",
    ),
    Column.CURRENCY: ("currency", "ccy", "curr", "cur", "currencycode"),
    Column.EFFECTIVE_FROM: (
        "effectivefrom",
        "effectivedate",
        "effective",
        "effectivestart",
        "effdate",
        "validfrom",
        "startdate",
        "datefrom",
        "from",
        "fromdate",
        "activationdate",
        "activefrom",
    ),
    Column.EFFECTIVE_TO: (
        "effectiveto",
        "effectiveuntil",
        "effectiveend",
        "validto",
        "validuntil",
        "validtill",
        "enddate",
        "dateto",
        "to",
        "todate",
        "until",
        "expirydate",
        "expirationdate",
        "expires",
        "ceasedate",
        "activeto",
    ),
    Column.MCC: ("mcc", "mobilecountrycode"),
    Column.MNC: ("mnc", "mobilenetworkcode"),
    Column.MCC_MNC: ("mccmnc", "mccandmnc", "imsi", "imsiprefix", "plmn", "plmnid", "networkcode"),
    Column.COUNTRY_CODE: ("countrycode", "countrydialcode", "cc"),
}
_COLUMN_OF: Final = {synonym: column for column, synonyms in _SYNONYMS.items() for synonym in synonyms}
_NATIONAL: Final = frozenset({"areacode", "areacodes", "citycode", "ndc", "nationaldestinationcode"})
_SIGNS: Final = {"€": "EUR", "£": "GBP"}


@dataclass(frozen=True)
class Meaning:
    """What a line of titles says: its columns, the currency that the price's title names, and what was unclear."""

    columns: Mapping[Column, int]
    currency: str = ""
    notes: tuple[str, ...] = ()


def plain(title: str) -> str:
    """Reduce a title to what titles are compared by: its letters and digits, in lower case, without accents."""
    return "".join(each for each in unicodedata.normalize("NFKD", title).casefold() if each.isalnum())


def understand_titles(titles: Sequence[str]) -> Meaning | None:
    """Understand a line of titles; None where it names no price, or neither a prefix nor an MCC."""
    found: dict[Column, list[tuple[int, int, str]]] = {}
    for index, title in enumerate(titles):
        if title and (known := _understand(title)):
            column, rank, currency = known
            found.setdefault(column, []).append((rank, index, currency))
    if Column.COST not in found or not found.keys() & {Column.PREFIX, Column.MCC, Column.MCC_MNC}:
        return None
    chosen = {column: min(candidates) for column, candidates in found.items()}
    columns = {column: index for column, (_, index, _) in chosen.items()}
    if Column.MCC_MNC in columns and columns.keys() & {Column.MCC, Column.MNC}:
        del columns[Column.MCC_MNC]
    if Column.COUNTRY_CODE in columns and plain(titles[columns.get(Column.PREFIX, 0)]) not in _NATIONAL:
        del columns[Column.COUNTRY_CODE]
    notes = tuple(
        f"Several columns could be the {column.value}: "
        f"{', '.join(titles[index] for _, index, _ in sorted(candidates))}; the first of these was taken."
        for column, candidates in found.items()
        if column in columns and len(candidates) > 1
    )
    return Meaning(columns, chosen[Column.COST][2], notes)


@lru_cache(maxsize=1024)
def _understand(title: str) -> tuple[Column, int, str] | None:
    """Tell what a title means, how far down the synonyms it was found, and the currency in it."""
    name = plain(title)
    if name in _COLUMN_OF:
        return _ranked(name, next((code for sign, code in _SIGNS.items() if sign in title), ""))
    words = re.findall(r"\w+", title)
    for index, word in enumerate(words):
        if _is_currency(word.upper()):
            rest = plain("".join(words[:index] + words[index + 1 :])).removesuffix("in")
            if _COLUMN_OF.get(rest) is Column.COST:
                return _ranked(rest, word.upper())
    return None


def _ranked(name: str, currency: str) -> tuple[Column, int, str]:
    column = _COLUMN_OF[name]
    return column, _SYNONYMS[column].index(name), currency if column is Column.COST else ""


def _is_currency(word: str) -> bool:
    return len(word) == 3 and pycountry.currencies.get(alpha_3=word) is not None
