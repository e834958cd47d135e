"""Guess how a sheet writes decimals and dates from what stands in its cells."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from routing.ratesheets.lines import DateOrder


def guess_decimal_mark(prices: Iterable[str], otherwise: str) -> tuple[str, tuple[str, ...]]:
    """Return the decimal mark of most prices, with a note where some are written otherwise or prove little."""
    votes: Counter[str] = Counter()
    lone = 0  # 1,234 is read as 1.234: nobody asks a thousand for a message
    for price in prices:
        dots, commas = price.count("."), price.count(",")
        if dots and commas:
            votes["." if price.rindex(".") > price.rindex(",") else ","] += 1
        elif dots + commas == 1:
            votes["." if dots else ","] += 1
            lone += bool(re.fullmatch(r"[1-9][0-9]{0,2},[0-9]{3}", price))
        elif dots + commas > 1:
            votes["," if dots else "."] += 1
    mark = otherwise if votes["."] == votes[","] else max(votes, key=lambda each: votes[each])
    if votes["."] and votes[","]:
        return mark, (f"Prices are written both with a decimal point and with a comma; {mark!r} was taken.",)
    if mark == "," and lone and lone == votes[","]:
        return mark, ("The comma in the prices was taken as the decimal mark, not as one of thousands.",)
    return mark, ()


def guess_date_order(dates: Iterable[str], remembered: DateOrder | None) -> tuple[DateOrder, tuple[str, ...]]:
    """Return the order that the dates prove, else the remembered one, else day first with a note."""
    day_first = month_first = unclear = 0
    for text in dates:
        if found := re.match(r"([0-9]{1,2})([-/.])([0-9]{1,2})\2[0-9]{2,4}", text):
            first, second = int(found[1]), int(found[3])
            day_first += first > 12 >= second
            month_first += second > 12 >= first
            unclear += first <= 12 and second <= 12 and first != second and found[2] != "."  # with dots the day leads
    if day_first == month_first:
        order = remembered or DateOrder.DAY_FIRST
    else:
        order = DateOrder.MONTH_FIRST if month_first > day_first else DateOrder.DAY_FIRST
    words = "day first" if order is DateOrder.DAY_FIRST else "month first"
    if day_first and month_first:
        return order, (f"Dates are written both day first and month first; {words} was taken.",)
    if unclear and not day_first and not month_first and not remembered:
        return order, (f"The dates could be read day first or month first; {words} was taken.",)
    return order, ()
