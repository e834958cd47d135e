"""Which countries a mobile country code belongs to, and what its networks are called (ITU-T E.212)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final

import mobile_codes

# Assigned since the package's data were collected, or used by territories of which it tells no code.
LATER: Final[Mapping[str, frozenset[str]]] = {
    "221": frozenset({"XK"}),
    "242": frozenset({"SJ"}),
    "310": frozenset({"MP", "VI"}),
    "311": frozenset({"MP", "VI"}),
    "340": frozenset({"BL"}),
    "505": frozenset({"CC", "CX"}),
    "543": frozenset({"WF"}),
    "554": frozenset({"TK"}),
    "647": frozenset({"YT"}),
    "658": frozenset({"SH"}),
    "659": frozenset({"SS"}),
    "995": frozenset({"IO"}),
}
# The first digit is the world region's, from 2 to 7; 9 is for what belongs to no country (E.212 Annex A).
CODES: Final = range(200, 1000)


@dataclass(frozen=True)
class Network:
    """A mobile network: its codes and its names, of which either may be empty."""

    mcc: str
    mnc: str
    brand: str
    operator: str


@cache
def countries_of_mcc(mcc: str) -> frozenset[str]:
    """Name the countries (ISO 3166-1 alpha-2) of an MCC; none where it is unknown."""
    known: list[mobile_codes.Country] = mobile_codes.mcc(mcc)
    return frozenset(country.alpha2 for country in known) | LATER.get(mcc, frozenset())


@cache
def mccs_of_country(country: str) -> frozenset[str]:
    """Name the MCCs of a country (ISO 3166-1 alpha-2); none where it is unknown."""
    return frozenset(mcc for mcc in map(str, CODES) if country in countries_of_mcc(mcc))


@cache
def networks_of_mcc(mcc: str) -> tuple[Network, ...]:
    """List the networks of an MCC."""
    return tuple(
        Network(mcc, str(each.mnc), str(each.brand or ""), str(each.operator or ""))
        for each in mobile_codes.operators(mcc)
    )
