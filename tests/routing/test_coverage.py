from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from routing.coverage import ALWAYS, Span, covered, is_covered, span_of

DAY = datetime(2026, 11, 1, tzinfo=UTC)
# Ten children or eleven grandchildren come together only where drawing is helped along.
FAMILIES = st.lists(
    st.one_of(
        st.text("12", min_size=1, max_size=3).map(lambda digits: [f"+{digits}"]),
        st.text("12", min_size=1, max_size=2).map(lambda digits: [f"+{digits}{last}" for last in range(10)]),
    ),
    max_size=6,
).map(lambda found: [prefix for family in found for prefix in family])
SPANS = st.tuples(st.integers(0, 3), st.integers(1, 3)).map(
    lambda days: Span(DAY + timedelta(days=days[0]), DAY + timedelta(days=days[0] + days[1]))
)


def is_taken(prefix: str, spans: dict[str, Span], at: datetime) -> bool:
    """Look at every number of four digits, one by one."""
    numbers = ("".join((prefix, *rest)) for rest in product("0123456789", repeat=5 - len(prefix)))
    return all(
        any(
            len(each) > len(prefix) and number.startswith(each) and span.start <= at < span.end
            for each, span in spans.items()
        )
        for number in numbers
    )


@given(prefixes=FAMILIES)
def test_it_finds_exactly_what_longer_prefixes_cover(prefixes: list[str]) -> None:
    spans = dict.fromkeys(prefixes, ALWAYS)
    assert covered(spans) == sorted(prefix for prefix in spans if is_taken(prefix, spans, DAY))


@given(spans=FAMILIES.flatmap(lambda prefixes: st.fixed_dictionaries(dict.fromkeys(prefixes, SPANS))))
def test_it_names_none_that_wins_at_some_time(spans: dict[str, Span]) -> None:
    for prefix in covered(spans):
        start, end = spans[prefix]
        for day in range((end - start).days):
            assert is_taken(prefix, spans, start + timedelta(days=day))


def test_a_span_too_short_leaves_the_rest() -> None:
    ten = {f"+44{digit}": ALWAYS for digit in range(10)}
    assert covered({**ten, "+44": ALWAYS}) == ["+44"]
    assert covered({**ten, "+44": ALWAYS, "+443": span_of(None, DAY)}) == []
    assert covered({**ten, "+44": span_of(None, DAY), "+443": span_of(None, DAY)}) == ["+44"]


def test_one_missing_number_is_enough() -> None:
    nine = [f"+4{digit}" for digit in range(9)]
    hundred = [f"+49{digits}" for digits in range(10, 100)]
    assert not is_covered("+4", nine + hundred)
    assert is_covered("+4", nine + hundred + [f"+490{digit}" for digit in range(10)])
