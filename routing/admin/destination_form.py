"""The form of a destination prefix: it parses what staff type; the rules live in the model and the actions."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Final, cast

from django import forms
from django.core.exceptions import ValidationError

from operators.errors import InvalidPayload, OperatorError
from operators.forms import version_field
from routing.destinations import DestinationValues, is_country
from routing.errors import DuplicatePrefix
from routing.models import DestinationPrefix
from routing.wire import DESTINATION_NAMES

if TYPE_CHECKING:
    DestinationModelForm = forms.ModelForm[DestinationPrefix]
else:
    DestinationModelForm = forms.ModelForm

FIELDS: Final = ("prefix", "country", "network", "mcc", "mnc")
FORM_FIELDS: Final = {wire: name for name, wire in DESTINATION_NAMES.items()}


class DestinationForm(DestinationModelForm):
    """Add or edit a row; `values()` and `changes()` are what the actions take."""

    expected_version = version_field()

    class Meta:
        model = DestinationPrefix
        fields = FIELDS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # The form writes what was typed into its instance; the page goes on showing the stored row.
        kwargs["instance"] = copy.copy(kwargs.get("instance"))
        super().__init__(*args, **kwargs)
        if self.instance._state.adding:
            self.fields["expected_version"].required = False
        else:
            self.initial["expected_version"] = self.instance.version

    def clean_country(self) -> str:
        code = str(self.cleaned_data["country"]).upper()
        if code and not is_country(code):
            raise ValidationError("The country is a two-letter code of ISO 3166-1, such as GB.", code="country")
        return code

    def validate_unique(self) -> None:
        """Leave it to the action, which names the row that is in the way."""

    def values(self) -> DestinationValues:
        return self._values(FIELDS)

    def changes(self) -> DestinationValues:
        """Name only what differs from the row, so that two people can edit different fields one after the other."""
        return self._values(tuple(name for name in FIELDS if name in self.changed_data))

    def refuse(self, refusal: OperatorError) -> None:
        """Put an action's refusal where the reader looks for it: at the field, or above the form."""
        match refusal:
            case InvalidPayload():
                for problem in refusal.problems:
                    self.add_error(FORM_FIELDS[problem.field], problem.message)
            case DuplicatePrefix():
                self.add_error("prefix", str(refusal))
            case _:
                self.add_error(None, str(refusal))

    def _values(self, names: tuple[str, ...]) -> DestinationValues:
        return cast(DestinationValues, {name: self.cleaned_data[name] for name in names})
