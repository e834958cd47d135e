"""What callers ask: the same rules for the parameters of an address and for the fields of a body."""

# ruff: noqa: N815 - the attributes are the wire names

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final

from django.core.exceptions import ValidationError
from django.utils import timezone
from rest_framework import serializers
from rest_framework.request import Request

from operators import validators
from operators.api.fields import (
    FlagField,
    IdField,
    NumberField,
    StrictSerializer,
    TextField,
    WholeNumberField,
    WordField,
)
from operators.api.filters import refuse_unknown
from operators.api.moments import GivenMomentField
from operators.errors import FieldProblem, InvalidPayload
from routing.models.destination import check_network
from routing.numbers import parse_number
from routing.resolver import Question, Strategy

MOST_NUMBERS: Final = 1000
MOST_ANSWERS: Final = 200
OF_ONE: Final = MOST_ANSWERS
OF_MANY: Final = 2
MOST_DOWN: Final = 200
RATE: Final = re.compile(r"([A-Z]{3}):([0-9]{1,12}(?:\.[0-9]{1,12})?)")
WHOLE: Final = re.compile(r"[0-9]{1,9}")

Values = Mapping[str, Any]


class OptionsInput(StrictSerializer):
    """How a question is meant; everything may be left out."""

    strategy = WordField(choices=[each.value for each in Strategy], required=False, help_text="PRIORITY unless given.")
    asOf = GivenMomentField(required=False, help_text="The moment whose windows count; now unless given.")
    currency = TextField(required=False, help_text="In which COST compares; that of most candidates unless given.")
    rates = serializers.DictField(
        child=NumberField(),
        required=False,
        allow_empty=True,
        help_text="What one unit of each currency is worth in `currency`; without a rate, prices in it come last.",
    )
    mcc = TextField(required=False, help_text="The number's network as a lookup has told it: rules of others are out.")
    mnc = TextField(required=False)
    down = serializers.ListField(
        child=IdField(), required=False, max_length=MOST_DOWN, help_text="Operators that are assumed to be unhealthy."
    )
    limit = WholeNumberField(
        required=False, min_value=1, max_value=MOST_ANSWERS, help_text="How many operators each answer lists."
    )

    def validate_currency(self, value: str) -> str:
        return _checked(validators.validate_currency, value)

    def validate_rates(self, value: dict[str, Decimal]) -> dict[str, Decimal]:
        problems: dict[str, list[str]] = {}
        for currency, rate in value.items():
            try:
                validators.validate_currency(currency)
            except ValidationError as error:
                problems[currency[:64]] = error.messages
            else:
                if not 0 < rate < 10**12:
                    problems[currency] = ["A rate is a number above 0 and below 10^12."]
        if problems:
            raise serializers.ValidationError(problems)
        return value

    def validate(self, attrs: Values) -> Values:
        problems: dict[str, list[str]] = {}
        try:
            check_network(attrs.get("mcc", ""), attrs.get("mnc", ""))
        except ValidationError as error:
            problems |= error.message_dict
        if attrs.get("rates") and not attrs.get("currency"):
            problems["currency"] = ["Say in which currency the rates are."]
        if problems:
            raise serializers.ValidationError(problems)
        return attrs


class ManyInput(OptionsInput):
    """Many numbers, asked about in the same way."""

    numbers = serializers.ListField(
        child=TextField(), min_length=1, max_length=MOST_NUMBERS, help_text="E.164, each with its +."
    )


class OneInput(OptionsInput):
    """One number."""

    to = TextField(help_text="E.164; + is written %2B, and a space in its place is taken for it.")
    explain = FlagField(required=False, help_text="Also tell of every candidate why it was chosen or passed over.")


def question_of(values: Values, number: str) -> Question:
    """Make a question of validated options."""
    return Question(
        number=number,
        as_of=values.get("asOf") or timezone.now(),
        strategy=Strategy(values.get("strategy", Strategy.PRIORITY)),
        currency=values.get("currency", ""),
        rates=values.get("rates", {}),
        mcc=values.get("mcc", ""),
        mnc=values.get("mnc", ""),
        down=frozenset(values.get("down", ())),
    )


def numbers_of(values: Values) -> list[str]:
    """Read the list of numbers; raises InvalidPayload that names every wrong one by its place."""
    numbers: list[str] = []
    problems: list[FieldProblem] = []
    for place, text in enumerate(values["numbers"]):
        try:
            numbers.append(parse_number(text, field=f"numbers[{place}]"))
        except InvalidPayload as refusal:
            problems += refusal.problems
    if problems:
        raise InvalidPayload(problems)
    return numbers


def read_parameters(request: Request) -> dict[str, Any]:
    """Bring an address's parameters to the types that a body would have; an empty one counts as absent."""
    refuse_unknown(request, frozenset(OneInput().fields))
    given = {name: str(text) for name, text in request.query_params.items() if text}
    problems: list[FieldProblem] = []
    read = {}
    for name, text in given.items():
        try:
            read[name] = _READERS.get(name, str)(text)
        except ValueError as error:
            problems.append(FieldProblem(name, str(error)))
    if problems:
        raise InvalidPayload(problems)
    return read


def _number(text: str) -> str:
    # A + that was not written as %2B has become a space.
    return f"+{text[1:]}" if text.startswith(" ") else text


def _flag(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError("This is true or false.")
    return text == "true"


def _rates(text: str) -> dict[str, Decimal]:
    rates = {}
    for part in text.split(","):
        match = RATE.fullmatch(part.strip())
        if match is None:
            raise ValueError("Currencies and rates such as GBP:1.27,USD:0.92.")
        if match[1] in rates:
            raise ValueError(f"Each currency once: {match[1]} has two rates.")
        rates[match[1]] = Decimal(match[2])
    return rates


def _whole(text: str) -> int:
    if not WHOLE.fullmatch(text):
        raise ValueError(f"A whole number from 1 to {MOST_ANSWERS}.")
    return int(text)


def _list(text: str) -> list[str]:
    return [part.strip() for part in text.split(",")]


_READERS: Final[Mapping[str, Callable[[str], Any]]] = {
    "to": _number,
    "explain": _flag,
    "rates": _rates,
    "limit": _whole,
    "down": _list,
}


def _checked(validate: Callable[[str], None], value: str) -> str:
    try:
        validate(value)
    except ValidationError as error:
        raise serializers.ValidationError(error.messages) from None
    return value
