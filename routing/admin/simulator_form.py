"""What staff ask the route simulator."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django import forms
from django.core.exceptions import ValidationError
from django.http import QueryDict

from operators import validators
from operators.errors import InvalidPayload
from operators.forms import LOCAL_SECOND
from operators.models import Operator
from routing.forms import moment_field
from routing.numbers import parse_number
from routing.resolver import Question, Strategy

MOST_NUMBERS: Final = 1_000
# No way to write a number takes more; what is longer is not looked into.
LONGEST_ENTRY: Final = 100
BETWEEN_ENTRIES: Final = re.compile(r"[\r\n,;]+")
# One number in an address that somebody typed: the + is a space by the time it gets here.
LOST_PLUS: Final = re.compile(r"^ (?=[1-9][0-9]*$)")
STRATEGIES: Final = (
    (Strategy.PRIORITY, "Priority: the lowest first"),
    (Strategy.COST, "Cost: the cheapest first"),
    (Strategy.WEIGHTED, "Weighted: shares by weight"),
)


@dataclass(frozen=True)
class Entry:
    """One number as it was typed, and as it is or why it is none."""

    typed: str
    number: str = ""
    problem: str = ""


def parse_entry(typed: str) -> Entry:
    if len(typed) > LONGEST_ENTRY:
        return Entry(typed[:LONGEST_ENTRY], problem="This is too long for a number.")
    try:
        return Entry(typed, number=parse_number(typed))
    except InvalidPayload as refusal:
        return Entry(typed, problem=refusal.problems[0].message)


def code_field(label: str, help_text: str, validator: Any, length: int) -> forms.CharField:
    return forms.CharField(
        required=False,
        max_length=length,
        validators=[validator],
        label=label,
        help_text=help_text,
        widget=forms.TextInput(attrs={"class": "code-field", "autocomplete": "off", "spellcheck": "false"}),
    )


class SimulatorForm(forms.Form):
    """Name numbers, how to choose, and what to suppose; `query()` writes it all as a page's address."""

    numbers = forms.CharField(
        strip=False,
        help_text="One a line, or separated by commas or semicolons; 1,000 at most.",
        error_messages={"required": "Give at least one number, such as +447911123456."},
        widget=forms.Textarea(attrs={"rows": 5, "autocomplete": "off", "spellcheck": "false", "class": "mono"}),
    )
    strategy = forms.ChoiceField(required=False, choices=STRATEGIES)
    as_of = moment_field("As of (UTC)", "Empty: now.")
    currency = code_field("Currency", "For cost; empty: what most have.", validators.validate_currency, 3)
    mcc = code_field("MCC", "If a lookup has told it.", validators.validate_mcc, 3)
    mnc = code_field("MNC", "Only beside an MCC.", validators.validate_mnc, 3)
    down = forms.ModelMultipleChoiceField(
        required=False,
        queryset=Operator.objects.live(),
        error_messages={
            "invalid_choice": "An operator that was assumed down is not there any more; it is left out.",
        },
    )

    def __init__(self, data: QueryDict | None = None) -> None:
        if data is not None and (currency := data.get("currency", "")):
            data = data.copy()
            data["currency"] = currency.upper()
        super().__init__(data)

    def clean_numbers(self) -> list[Entry]:
        typed = [text for text in BETWEEN_ENTRIES.split(self.cleaned_data["numbers"]) if text.strip()]
        if not typed:
            raise ValidationError(self.fields["numbers"].error_messages["required"])
        if len(typed) > MOST_NUMBERS:
            raise ValidationError(f"These are {len(typed):,} lines: at most {MOST_NUMBERS:,} at once.")
        if len(typed) == 1:
            entry = parse_entry(LOST_PLUS.sub("+", typed[0]))
            if entry.problem:
                raise ValidationError(entry.problem)
            return [entry]
        return [parse_entry(text.strip()) for text in typed]

    def clean(self) -> dict[str, Any]:
        values: dict[str, Any] = super().clean() or {}
        if values.get("mnc") and not values.get("mcc") and "mcc" not in self.errors:
            self.add_error("mcc", "An MNC counts only together with its MCC.")
        return values

    @property
    def down_ids(self) -> frozenset[UUID]:
        return frozenset(operator.pk for operator in self.cleaned_data["down"])

    def question(self, now: datetime) -> Question:
        """Return what is asked about every number; which one, each answer says by itself."""
        asked = self.cleaned_data
        strategy = Strategy(asked["strategy"] or Strategy.PRIORITY)
        return Question(
            number="",
            as_of=asked["as_of"] or now,
            strategy=strategy,
            currency=asked["currency"] if strategy is Strategy.COST else "",
            mcc=asked["mcc"],
            mnc=asked["mnc"],
            down=self.down_ids,
        )

    def query(
        self, *, numbers: Iterable[str] = (), down: Iterable[UUID] | None = None, as_of: datetime | None = None
    ) -> str:
        """Write the question as an address's query, with other numbers, operators or moment where they are given."""
        asked = self.cleaned_data
        moment = as_of or asked["as_of"]
        query = QueryDict(mutable=True)
        query["numbers"] = "\n".join(numbers or (entry.number or entry.typed for entry in asked["numbers"]))
        for name, value in (
            ("strategy", asked["strategy"]),
            ("as_of", f"{moment:{LOCAL_SECOND}}" if moment else ""),
            ("currency", asked["currency"]),
            ("mcc", asked["mcc"]),
            ("mnc", asked["mnc"]),
        ):
            if value:
                query[name] = value
        query.setlist("down", sorted(map(str, self.down_ids if down is None else down)))
        return query.urlencode()
