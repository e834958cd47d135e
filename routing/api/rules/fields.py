"""How prices and network codes stand on the wire."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any, Final

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from operators.api.fields import MESSAGES

# As much as any price has, and no exponent: 1e3 as text is more often a slip of a spreadsheet than a price.
NUMERAL: Final = re.compile(r"-?[0-9]{1,30}(\.[0-9]{1,30})?")


@extend_schema_field(
    {
        "oneOf": [
            {"type": "number", "minimum": 0, "exclusiveMaximum": 10**12},
            {"type": "string", "pattern": r"^[0-9]{1,12}(\.[0-9]{1,6})?$"},
        ]
    }
)
class PriceField(serializers.Field[Decimal, Any, Any, Any]):
    """Take a JSON number, or a decimal number as text; never by way of a float."""

    default_error_messages = {**MESSAGES, "invalid": "This field is a number, or a decimal number as text."}

    def to_internal_value(self, data: object) -> Decimal:
        if isinstance(data, bool) or not isinstance(data, int | Decimal | str):
            self.fail("invalid")
        if isinstance(data, str) and not NUMERAL.fullmatch(data):
            self.fail("invalid")
        price = Decimal(data)
        # JSON has a -0.
        return price if price else Decimal(0)


@extend_schema_field({"type": "string"})
class CodeField(serializers.Field[str, Any, str | None, Any]):
    """Show a code that is empty in the database as null."""

    def to_representation(self, value: str) -> str | None:
        return value or None
