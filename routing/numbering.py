"""Which country the numbers of a prefix belong to, by the numbering plans of the phonenumbers package (ITU-T E.164)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from phonenumbers import PhoneMetadata
from phonenumbers.data import _COUNTRY_CODE_TO_REGION_CODE

# The regions of each country calling code, the main one first.
REGIONS: Final[Mapping[int, tuple[str, ...]]] = _COUNTRY_CODE_TO_REGION_CODE
# What the package calls countries and ISO 3166-1 does not: Ascension and Tristan da Cunha belong to Saint Helena.
PARTS_OF: Final = {"AC": "SH", "TA": "SH"}
NO_COUNTRY: Final = "001"

# National digits behind which a range that countries share is not divided any further.
DEEPEST: Final = 6

DIGITS: Final = "0123456789"
KINDS: Final = (
    "fixed_line",
    "mobile",
    "toll_free",
    "premium_rate",
    "shared_cost",
    "personal_number",
    "voip",
    "pager",
    "uan",
    "voicemail",
)

States = frozenset[int]


class NumberPattern:
    """Tell how the texts that a pattern matches may begin: Python's own patterns only match whole ones.

    Reads what the package's patterns consist of: digits, classes, groups, alternatives and counts.
    """

    def __init__(self, pattern: str) -> None:
        self._text, self._at = pattern, 0
        self._edges: list[list[tuple[str, int]]] = []
        start = self._node()
        self._alternatives(start)
        self.start = self._closure({start})

    def step(self, states: States, digit: str) -> States:
        """Read one more digit; no state is left where no match begins like that."""
        return self._closure({to for state in states for digits, to in self._edges[state] if digit in digits})

    def _closure(self, states: set[int]) -> States:
        todo = list(states)
        while todo:
            for digits, to in self._edges[todo.pop()]:
                if not digits and to not in states:
                    states.add(to)
                    todo.append(to)
        return frozenset(states)

    def _node(self) -> int:
        self._edges.append([])
        return len(self._edges) - 1

    def _link(self, start: int, end: int, digits: str = "") -> None:
        """Lead from one state to another over one of these digits, or over none."""
        self._edges[start].append((digits, end))

    def _alternatives(self, start: int) -> int:
        end = self._node()
        self._link(self._sequence(start), end)
        while self._text.startswith("|", self._at):
            self._at += 1
            self._link(self._sequence(start), end)
        return end

    def _sequence(self, start: int) -> int:
        while self._at < len(self._text) and self._text[self._at] not in "|)":
            start = self._repeated(start)
        return start

    def _repeated(self, start: int) -> int:
        begin = self._at
        nodes = [start, self._one(start)]
        low, high = self._count()
        behind = self._at
        while len(nodes) <= high:
            self._at = begin
            nodes.append(self._one(nodes[-1]))
        self._at = behind
        for node in nodes[low:-1]:
            self._link(node, nodes[-1])
        return nodes[-1]

    def _one(self, start: int) -> int:
        text, at = self._text, self._at
        if text.startswith("(?:", at):
            self._at += 3
            end = self._alternatives(start)
            self._at += 1
            return end
        end = self._node()
        if text.startswith(r"\d", at):
            digits, self._at = DIGITS, at + 2
        elif text[at] == "[":
            self._at = text.index("]", at) + 1
            digits = _class(text[at + 1 : self._at - 1])
        else:
            digits, self._at = text[at], at + 1
        if not digits.isdigit():
            raise ValueError(f"There is no reading “{text[at:]}” of the pattern “{text}”.")
        self._link(start, end, digits)
        return end

    def _count(self) -> tuple[int, int]:
        if self._text.startswith("?", self._at):
            self._at += 1
            return 0, 1
        if not self._text.startswith("{", self._at):
            return 1, 1
        end = self._text.index("}", self._at)
        low, _, high = self._text[self._at + 1 : end].partition(",")
        self._at = end + 1
        return int(low), int(high or low)


class CountryCode:
    """One country calling code, with the regions that share it; the main one comes first."""

    def __init__(self, code: int) -> None:
        self.regions: tuple[str, ...] = REGIONS[code]
        self._patterns = {region: NumberPattern(_pattern(region)) for region in self.regions} if self.is_shared else {}
        self._known = {("", region): pattern.start for region, pattern in self._patterns.items()}

    @property
    def is_shared(self) -> bool:
        return len(self.regions) > 1

    @property
    def country(self) -> str:
        """Name the main country (ISO 3166-1 alpha-2); empty for codes that belong to none."""
        return country_of(self.regions[0])

    def country_within(self, national: str) -> str:
        """Name the country of the national numbers that begin like that; the main one where no plan has any."""
        if not self.is_shared:
            return self.country
        return next((country_of(region) for region in self._owners(national)), self.country)

    def divisions(self, national: str = "") -> Iterator[tuple[str, str]]:
        """List the shortest ranges that belong to another country than the main one: (national digits, country)."""
        owners = self._owners(national) if self.is_shared else []
        if len(owners) > 1 and len(national) < DEEPEST:
            parts = [part for digit in DIGITS for part in self.divisions(national + digit)]
            countries = {country for _, country in parts}
            is_whole = [part for part, _ in parts] == [national + digit for digit in DIGITS]
            yield from [(national, countries.pop())] if is_whole and len(countries) == 1 else parts
        elif owners and (country := country_of(owners[0])) != self.country:
            yield national, country

    def _owners(self, national: str) -> list[str]:
        return [region for region in self.regions if self._states(national, region)]

    def _states(self, national: str, region: str) -> States:
        key = (national, region)
        if key not in self._known:
            before = self._states(national[:-1], region)
            self._known[key] = self._patterns[region].step(before, national[-1]) if before else before
        return self._known[key]


def country_of(region: str) -> str:
    return "" if region == NO_COUNTRY else PARTS_OF.get(region, region)


def _pattern(region: str) -> str:
    """Build one pattern of what the package takes for a region's numbers; the main region alone has services too."""
    known = PhoneMetadata.metadata_for_region(region)
    assert known is not None and known.country_code is not None
    if known.leading_digits:
        return rf"(?:{known.leading_digits})\d{{0,14}}"
    main = PhoneMetadata.metadata_for_region(REGIONS[known.country_code][0])
    assert main is not None
    # A pattern that both have is the main region's.
    own = _patterns(known, KINDS) if known is main else _patterns(known, KINDS[:2]) - _patterns(main, KINDS)
    return "|".join(f"(?:{pattern})" for pattern in sorted(own))


def _patterns(region: PhoneMetadata, kinds: Iterable[str]) -> set[str]:
    numbers = (getattr(region, kind) for kind in kinds)
    return {str(each.national_number_pattern) for each in numbers if each and each.national_number_pattern}


def _class(text: str) -> str:
    """Write out a class: 0-25 is 0125."""
    digits = ""
    while text:
        if text[1:2] == "-":
            digits += "".join(map(str, range(int(text[0]), int(text[2]) + 1)))
            text = text[3:]
        else:
            digits, text = digits + text[0], text[1:]
    return digits
