"""Read single cells of the spreadsheet: each function returns the typed value or raises ValidationError with the rule.

The texts come without spaces around them; an empty text is an empty cell.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Final, TypeVar
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError

from operators import validators
from operators.legacy.lines import tidy

T = TypeVar("T")

DEFAULT_PORT: Final = 2775  # IANA: smpp
DEFAULT_BURST: Final = Decimal("1.50")
DEFAULT_CURRENCY: Final = "USD"
MAX_NAME: Final = 128
MAX_TPS: Final = 2_147_483_647
MAX_CONTACT, MAX_CONTACTS, MAX_NOTES = 200, 50, 10_000

BIND_TYPES: Final = {
    "trx": "TRANSCEIVER",
    "transceiver": "TRANSCEIVER",
    "tx": "TRANSMITTER",
    "transmitter": "TRANSMITTER",
    "rx": "RECEIVER",
    "receiver": "RECEIVER",
}
ENFORCEMENT_MODES: Final = {"": "HARD_REJECT", "reject": "HARD_REJECT", "throttle": "SOFT_THROTTLE"}
# An empty cell promises nothing, and INACTIVE sends nothing; an unknown word may be a misspelt "live".
LIVE: Final = {"live": True, "testing": False, "off": False, "": False}

WHOLE_NUMBER: Final = re.compile(r"[0-9]{1,15}")
RATE: Final = re.compile(r"(?P<number>[0-9]{1,15}|[0-9]{1,3}(?:,[0-9]{3}){1,4})(?:\s*/\s*s)?", re.IGNORECASE)
FACTOR: Final = re.compile(r"[0-9]{1,4}(?:[.,][0-9]{1,2})?")
PRICE: Final = re.compile(r"-?(?:[0-9]{1,20}(?:[.,][0-9]{0,20})?|[.,][0-9]{1,20})")


def read_name(text: str) -> str:
    name = re.sub(r"[\u00a0\u2007\u202f]", " ", text)
    if not 1 <= len(name) <= MAX_NAME:
        raise ValidationError(f"The name has 1 to {MAX_NAME} characters.")
    validators.validate_name(name)
    return name


def read_host(text: str) -> tuple[str, int | None]:
    """Read a hostname, an address or `smpp://host:port`; the port is None where the cell names none."""
    scheme, separator, _ = text.partition("://")
    if not separator:
        return validators.normalize_host(text), None
    # urlsplit would drop a line break inside the address without a word.
    if scheme.casefold() != "smpp" or re.search(r"\s", text):
        raise ValidationError("The host stands alone or as smpp://host:port; no other scheme is understood.")
    try:
        url = urlsplit(text)
        host, port = url.hostname or "", url.port
    except ValueError:
        raise ValidationError("After smpp:// come a host and a port between 1 and 65535.") from None
    if url.username is not None or url.path.strip("/") or url.query or url.fragment or port == 0:
        raise ValidationError("After smpp:// come a host and a port between 1 and 65535, and nothing else.")
    return validators.normalize_host(host), port


def read_port(text: str, *, url_port: int | None) -> int:
    """Read the port; an empty cell leaves it to the host's URL, and then to 2775."""
    if not text:
        return url_port or DEFAULT_PORT
    if not WHOLE_NUMBER.fullmatch(text) or not 1 <= int(text) <= 65535:
        raise ValidationError("The port is a whole number between 1 and 65535, or empty for 2775.")
    if url_port not in (None, int(text)):
        raise ValidationError("The port contradicts the one in the host's smpp:// address.")
    return int(text)


def read_system_id(text: str) -> str:
    validators.validate_system_id(text)
    return text


def read_system_type(text: str) -> str:
    validators.validate_system_type(text)
    return text


def read_bind_type(text: str) -> str:
    return _look_up(BIND_TYPES, text, "The bind is TRX, TX or RX (transceiver, transmitter or receiver).")


def read_max_tps(text: str) -> int:
    match = RATE.fullmatch(text)
    number = int(match["number"].replace(",", "")) if match else 0
    if not 1 <= number <= MAX_TPS:
        raise ValidationError("The TPS is a whole number of at least 1, such as 100, 1,000 or 100/s.")
    return number


def read_burst(text: str) -> Decimal:
    if not text:
        return DEFAULT_BURST
    if not FACTOR.fullmatch(text) or (factor := Decimal(text.replace(",", "."))) < 1:
        raise ValidationError("The burst is a factor of at least 1.00 with at most two decimals, or empty for 1.50.")
    return factor


def read_enforcement_mode(text: str) -> str:
    return _look_up(ENFORCEMENT_MODES, text, "On limit is reject, throttle, or empty for reject.")


def read_is_live(text: str) -> bool:
    return _look_up(LIVE, text, "The status is live, testing or off.")


def read_prefixes(text: str) -> tuple[str, ...]:
    """Read the list without repetitions; all of them have one price, so that a repeated one says nothing new."""
    prefixes = [prefix for part in text.split(";") if (prefix := tidy(part))]
    if not prefixes:
        raise ValidationError("At least one prefix is needed; several are separated by semicolons.")
    for number, prefix in enumerate(prefixes, start=1):
        try:
            validators.validate_prefix(prefix)
        except ValidationError as error:
            raise ValidationError(f"{error.messages[0]} Number {number} of the {len(prefixes)} is none.") from None
    return tuple(dict.fromkeys(prefixes))


def read_cost(text: str) -> Decimal:
    if not PRICE.fullmatch(text):
        raise ValidationError("The price per SMS is a number such as 0.0415.")
    return validators.parse_cost(text.replace(",", "."))


def read_currency(text: str) -> str:
    currency = text.upper() or DEFAULT_CURRENCY
    validators.validate_currency(currency)
    return currency


def read_mcc(text: str) -> str:
    if text:
        validators.validate_mcc(text)
    return text


def read_mnc(text: str, *, has_mcc: bool) -> str:
    if text:
        validators.validate_mnc(text)
        if not has_mcc:
            raise ValidationError("An MNC needs an MCC beside it (E.212).")
    return text


def read_contacts(text: str) -> tuple[str, ...]:
    contacts = tuple(contact for part in re.split(r"[;\r\n]", text) if (contact := tidy(part)))
    if len(contacts) > MAX_CONTACTS or any(len(contact) > MAX_CONTACT for contact in contacts):
        raise ValidationError(f"There are at most {MAX_CONTACTS} contacts of at most {MAX_CONTACT} characters each.")
    return contacts


def read_notes(text: str) -> str:
    notes = re.sub(r"\r\n?", "\n", text)
    if len(notes) > MAX_NOTES:
        raise ValidationError(f"The notes have at most {MAX_NOTES:,} characters.")
    return notes


def _look_up(table: Mapping[str, T], text: str, rule: str) -> T:
    try:
        return table[text.casefold()]
    except KeyError:
        raise ValidationError(rule) from None
