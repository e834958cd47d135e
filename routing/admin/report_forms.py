"""What staff ask the reports for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError

from operators.admin.base import OperatorSelect
from operators.forms import MomentField
from operators.models import Operator
from operators.validators import validate_prefix
from routing.destinations import country_name
from routing.models import RoutingRule


@dataclass(frozen=True)
class Asked:
    operator_id: UUID | None
    number: str
    at: datetime


class PriceForm(forms.Form):
    """Name an operator, a number, or both, and a moment."""

    operator = forms.ModelChoiceField(
        required=False,
        queryset=Operator.objects.live(),
        error_messages={"invalid_choice": "There is no such operator."},
    )
    number = forms.CharField(
        required=False,
        max_length=40,
        label="Number or prefix",
        help_text="+ and up to 15 digits.",
        widget=forms.TextInput(attrs={"inputmode": "tel", "autocomplete": "off", "class": "vTextField"}),
    )
    at = MomentField(label="As of (UTC)", help_text="Empty: now.")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["operator"]
        assert isinstance(field, forms.ModelChoiceField)
        relation = RoutingRule._meta.get_field("operator")
        field.widget = OperatorSelect(relation, admin.site, choices=field.choices)

    def clean_number(self) -> str:
        typed = "".join(str(self.cleaned_data["number"]).split())
        # A + in an address that somebody typed is a space by the time it gets here.
        number = f"+{typed.removeprefix('+')}" if typed else ""
        if number:
            validate_prefix(number)
        return number

    def clean(self) -> dict[str, Any]:
        values: dict[str, Any] = super().clean() or {}
        if not self.errors and not values.get("operator") and not values.get("number"):
            raise ValidationError("Name an operator, a number or a prefix.")
        return values

    def asked(self, now: datetime) -> Asked:
        operator = self.cleaned_data["operator"]
        return Asked(operator.pk if operator else None, self.cleaned_data["number"], self.cleaned_data["at"] or now)


class CountryForm(forms.Form):
    """Choose one of the countries that have destination prefixes."""

    country = forms.ChoiceField()

    def __init__(self, *args: Any, countries: Iterable[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["country"]
        assert isinstance(field, forms.ChoiceField)
        named = sorted((country_name(code), code) for code in countries if code)
        field.choices = [(code, name) for name, code in named]
