"""Rules of single values, with their sources; each error says the rule in words that staff understand."""

from __future__ import annotations

import ipaddress
import re
from decimal import Decimal, InvalidOperation

import pycountry
from django.core.exceptions import ValidationError

from operators.secrets import Secret

PRINTABLE_ASCII = re.compile(r"[\x20-\x7e]*")
LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
E164_PREFIX = re.compile(r"\+[1-9][0-9]{0,14}")

SPEC_PASSWORD_LENGTH = 8  # SMPP v3.4 §4.1: C-octet string of 9 octets with the terminator
MAX_PASSWORD_LENGTH = 64


def normalize_host(raw: str) -> str:
    """Return a hostname in lower case, or an IP address in its shortest form, as the unique constraint compares them.

    Raises ValidationError for anything else (RFC 1123 §2.1; RFC 5952 for IPv6).
    """
    host = raw.strip().rstrip(".").lower()
    try:
        return ipaddress.ip_address(host).compressed if "%" not in host else _refuse_host(raw)
    except ValueError:
        pass
    labels = host.split(".")
    if len(host) > 253 or not all(LABEL.fullmatch(label) for label in labels) or labels[-1].isdigit():
        _refuse_host(raw)
    return host


def _refuse_host(raw: str) -> str:
    hint = " Leave out scheme, port and path." if any(mark in raw for mark in ("/", ":", "@")) else ""
    raise ValidationError(f"Enter a hostname or an IPv4/IPv6 address.{hint}", code="host")


def validate_host(value: str) -> None:
    normalize_host(value)


def validate_name(value: str) -> None:
    if not value.isprintable():
        raise ValidationError("The name must not contain line breaks or control characters.", code="name")


def validate_system_id(value: str) -> None:
    """Check an SMPP system_id: 1 to 15 ASCII characters, 16 octets with the terminator (SMPP v3.4 §4.1)."""
    if not 1 <= len(value) <= 15 or not PRINTABLE_ASCII.fullmatch(value):
        raise ValidationError("The system_id has 1 to 15 printable ASCII characters (SMPP v3.4).", code="system_id")


def validate_system_type(value: str) -> None:
    """Check an SMPP system_type: at most 12 ASCII characters, 13 octets with the terminator (SMPP v3.4 §4.1)."""
    if len(value) > 12 or not PRINTABLE_ASCII.fullmatch(value):
        raise ValidationError(
            "The system_type has at most 12 printable ASCII characters (SMPP v3.4).", code="system_type"
        )


def validate_password(secret: Secret) -> None:
    """Check an SMPP password: 1 to 64 printable ASCII characters; the message never repeats it."""
    value = secret.reveal()
    if not 1 <= len(value) <= MAX_PASSWORD_LENGTH or not PRINTABLE_ASCII.fullmatch(value):
        raise ValidationError(
            f"The password has 1 to {MAX_PASSWORD_LENGTH} printable ASCII characters.", code="password"
        )


def password_warnings(secret: Secret) -> list[str]:
    """List what is allowed but often wrong about a password."""
    value = secret.reveal()
    warnings = []
    if len(value) > SPEC_PASSWORD_LENGTH:
        warnings.append(
            f"The password is longer than the {SPEC_PASSWORD_LENGTH} characters of SMPP v3.4; "
            "check that the carrier really issued it."
        )
    if value != value.strip():
        warnings.append("The password begins or ends with a space; check that the space belongs to it.")
    return warnings


def validate_prefix(value: str) -> None:
    """Check a destination prefix: `+` and 1 to 15 digits, the first 1 to 9 (ITU-T E.164)."""
    if not E164_PREFIX.fullmatch(value):
        raise ValidationError("A prefix is + and 1 to 15 digits, the first one 1 to 9 (E.164).", code="prefix")


def validate_mcc(value: str) -> None:
    """Check a mobile country code (ITU-T E.212)."""
    if not re.fullmatch(r"[0-9]{3}", value):
        raise ValidationError("An MCC has 3 digits (E.212).", code="mcc")


def validate_mnc(value: str) -> None:
    """Check a mobile network code; 04 and 004 differ, so it stays text (ITU-T E.212)."""
    if not re.fullmatch(r"[0-9]{2,3}", value):
        raise ValidationError("An MNC has 2 or 3 digits (E.212).", code="mnc")


def validate_currency(value: str) -> None:
    """Check a currency against the list of ISO 4217."""
    if not re.fullmatch(r"[A-Z]{3}", value) or pycountry.currencies.get(alpha_3=value) is None:
        raise ValidationError("The currency is a three-letter code of ISO 4217, such as EUR.", code="currency")


def parse_cost(raw: str) -> Decimal:
    """Read a price per segment: decimal(18,6), not negative; raises ValidationError."""
    try:
        cost = Decimal(raw)
    except InvalidOperation:
        raise ValidationError("The price is a number such as 0.0415.", code="cost") from None
    if not cost.is_finite() or cost < 0 or cost >= 10**12 or -int(cost.as_tuple().exponent) > 6:
        raise ValidationError("The price is at least 0, below 10^12, with at most 6 decimals.", code="cost")
    return cost
