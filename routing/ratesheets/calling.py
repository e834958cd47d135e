"""Find the prefix that a row without one means: the calling code of its MCC's country (E.212 to E.164)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Final

import phonenumbers
from phonenumbers import PhoneMetadata

from routing.networks import countries_of_mcc
from routing.ratesheets.cells import Fault

# E.212 gives 208 to France alone; Mayotte, which the package adds, has had 647 since.
_ALONE: Final[Mapping[str, str]] = {"208": "FR"}


@cache
def prefix_of_mcc(mcc: str) -> str:
    """Return the one prefix that all numbers of the MCC's countries begin with, and few others.

    A country that shares its calling code, and does not lead it, has a prefix only where one follows the code, as
    +1242 for the Bahamas: +1 with their price would catch half a continent. Raises Fault where there is none.
    """
    countries = [_ALONE[mcc]] if mcc in _ALONE else sorted(countries_of_mcc(mcc))
    codes = {code for country in countries if (code := phonenumbers.country_code_for_region(country))}
    if not codes:
        raise Fault(f"MCC {mcc} belongs to no country that is known here; give a prefix.")
    if len(codes) > 1:
        raise Fault(
            f"MCC {mcc} belongs to {', '.join(countries)}, whose calling codes differ "
            f"({', '.join(f'+{code}' for code in sorted(codes))}); give a prefix."
        )
    (code,) = codes
    if phonenumbers.region_code_for_country_code(code) in countries:
        return f"+{code}"
    leading = {_leading_digits(country) for country in countries}
    if len(leading) == 1 and (digits := leading.pop()).isdecimal():
        return f"+{code}{digits}"
    raise Fault(f"MCC {mcc} belongs to {', '.join(countries)}, which shares +{code} with others; give a prefix.")


def _leading_digits(country: str) -> str:
    metadata = PhoneMetadata.metadata_for_region(country)
    return (metadata.leading_digits or "") if metadata else ""
