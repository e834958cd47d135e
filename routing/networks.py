"""Which countries a mobile country code belongs to, and what its networks are called (ITU-T E.212)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final

import mobile_codes

# Assigned since the package's data were collected.
LATER: Final[Mapping[str, frozenset[str]]] = {"221": frozenset({"XK"}), "659": frozenset({"SS"})}


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
def networks_of_mcc(mcc: str) -> tuple[Network, ...]:
    """List the networks of an MCC."""
    return tuple(
        Network(mcc, str(each.mnc), str(each.brand or ""), str(each.operator or ""))
        for each in mobile_codes.operators(mcc)
    )
