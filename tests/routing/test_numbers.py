from __future__ import annotations

import pytest

from operators.errors import InvalidPayload
from routing.numbers import parse_number


@pytest.mark.parametrize(
    ("written", "number"),
    [
        ("+447911123456", "+447911123456"),
        ("  +44 7911 123456 \t", "+447911123456"),
        ("+44 (7911) 123-456", "+447911123456"),
        ("+1.212.555.0100", "+12125550100"),
        ("+49 170/1234567", "+491701234567"),
        ("+44\u00a07911\u2011123\u2013456", "+447911123456"),
        ("\u202a+44 7911 123456\u202c", "+447911123456"),
        ("\ufeff+44\u200b7911123456", "+447911123456"),
        ("\uff0b\uff14\uff147911123456", "+447911123456"),
        ("+8821", "+8821"),
        ("+123456789012345", "+123456789012345"),
    ],
)
def test_it_reads_what_people_paste(written: str, number: str) -> None:
    assert parse_number(written) == number


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("", "Give a number"),
        ("+", "Give a number"),
        (" - ", "Give a number"),
        ("00447911123456", "+ instead of 00"),
        ("0044 7911 123456", "+ instead of 00"),
        ("07911 123456", "instead of the first 0"),
        ("447911123456", "Begin with +"),
        ("+0447911123456", "No country code"),
        ("+44 (0)7911 123456", "Leave out the (0)"),
        ("+44 ( 0 ) 7911 123456", "Leave out the (0)"),
        ("+123", "at least 4"),
        ("+1234567890123456", "at most 15 digits (E.164), not 16"),
        ("+44CALLME", "letters"),
        ("+44 7911 123456 ext. 3", "letters"),
        ("+447911123456;+447911123457", "other signs"),
        ("++447911123456", "other signs"),
        ("+4479111\u0662\u0663", "other signs"),
        ("4.47911E+11", "rounded"),
        ("+4,47911e11", "rounded"),
        ("\x00+447911123456", "other signs"),
        ("+44\n7911123456", "other signs"),
    ],
)
def test_it_says_what_is_wrong(written: str, words: str) -> None:
    with pytest.raises(InvalidPayload) as refused:
        parse_number(written)
    [problem] = refused.value.problems
    assert problem.field == "to"
    assert words in problem.message
