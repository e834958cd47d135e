"""The console's forms of routing: they parse what staff type; the rules themselves live in model and actions."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar, Final, cast

from django import forms
from django.core.exceptions import ValidationError
from django.forms.models import construct_instance
from django.http import QueryDict

from operators.errors import InvalidPayload, OperatorError
from operators.forms import MomentField, reason_field, version_field
from operators.models import Operator
from routing.actions import RuleValues
from routing.errors import RoutingRuleConflict
from routing.guards import FindingKind
from routing.models import RoutingRule
from routing.wire import RULE_NAMES

if TYPE_CHECKING:
    RuleModelForm = forms.ModelForm[RoutingRule]
else:
    RuleModelForm = forms.ModelForm

VALUES: Final = (
    "prefix",
    "mcc",
    "mnc",
    "priority",
    "weight",
    "cost_per_segment",
    "currency",
    "effective_from",
    "effective_to",
    "active",
)
FORM_FIELDS: Final = {wire: name for name, wire in RULE_NAMES.items() if name in VALUES}


def moment_field(label: str, help_text: str) -> MomentField:
    return MomentField(has_seconds=True, label=label, help_text=help_text)


class RuleForm(RuleModelForm):
    """Add or edit a rule; `values()` and `changes()` are what the actions take.

    Each box carries what the page showed beside what was typed, so that a change is known for one even where somebody
    else has changed the row meanwhile.
    """

    effective_from = moment_field("From (UTC)", "The rule routes from then on; empty: it always has.")
    effective_to = moment_field("Until (UTC)", "The rule routes until then, exclusive; empty: until further notice.")
    allow_overlap = forms.BooleanField(
        required=False,
        label="Allow overlap",
        help_text=(
            "Only needed where the prefix contains, or lies inside, other rules of this operator at the same priority. "
            "That is normal in rate sheets, and then the longest prefix wins; elsewhere it is often a slip."
        ),
    )
    reason = reason_field()
    expected_version = version_field()

    class Meta:
        model = RoutingRule
        fields = ("operator", *VALUES)
        labels: ClassVar = {"cost_per_segment": "Price per segment"}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # The form writes what was typed into its instance; the page goes on showing the stored rule.
        kwargs["instance"] = copy.copy(kwargs.get("instance"))
        super().__init__(*args, **kwargs)
        if self.is_edit:
            self.initial["expected_version"] = self.instance.version
            for name in self._boxes():
                self.fields[name].show_hidden_initial = True
        if "operator" in self.fields:
            field = self.fields["operator"]
            assert isinstance(field, forms.ModelChoiceField)
            field.queryset = Operator.objects.live()
            field.error_messages["invalid_choice"] = "There is no such operator any more."

    def _post_clean(self) -> None:
        """Check all that Django checks but the constraints: the action's guards name the rules concerned."""
        self.instance = construct_instance(self, self.instance)
        shown = self.fields.keys() - self.errors.keys()
        try:
            self.instance.full_clean(
                exclude={field.name for field in RoutingRule._meta.fields} - shown,
                validate_unique=False,
                validate_constraints=False,
            )
        except ValidationError as error:
            self.add_error(None, error)

    @property
    def is_edit(self) -> bool:
        return not self.instance._state.adding

    def values(self) -> RuleValues:
        return self._values(VALUES)

    def changes(self) -> RuleValues:
        """Name only what was typed, so that two people can edit different fields one after the other."""
        return self._values(name for name in VALUES if name in self.changed_data)

    def refuse(self, refusal: OperatorError) -> None:
        """Put an action's refusal where the reader looks for it: at the field, or above the form."""
        match refusal:
            case InvalidPayload():
                for problem in refusal.problems:
                    name = FORM_FIELDS.get(problem.field)
                    if name in self.fields:
                        self.add_error(name, problem.message)
                    else:
                        self.add_error(None, f"{problem.field}: {problem.message}")
            case RoutingRuleConflict():
                self.add_error(None, "Nothing was saved: the rule meets other rules of this operator.")
                if all(finding.kind == FindingKind.OVERLAP for finding in refusal.findings):
                    self.add_error("allow_overlap", "Tick this, if it is what you mean, and save again.")
            case _:
                self.add_error(None, str(refusal))

    def rebase(self, current: RoutingRule) -> RuleForm:
        """Build the form anew on the current row: others' values where nothing was typed, and the typed ones elsewhere.

        Saving it again is then a deliberate act on what the page shows.
        """
        assert isinstance(self.data, QueryDict)
        fresh, data = type(self)(instance=current), self.data.copy()
        data["expected_version"] = str(current.version)
        contested = []
        for name in self._boxes():
            box = fresh[name]
            now = str(box.field.hidden_widget().format_value(box.value()) or "")
            if name not in self.changed_data:
                _type(data, box)
            elif data.get(box.html_initial_name, "") != now and self.cleaned_data[name] != getattr(current, name):
                contested.append(name)
            data[box.html_initial_name] = now
        rebased = type(self)(data, instance=current)
        rebased.full_clean()
        for name in contested:
            rebased.add_error(
                name, "Somebody else changed this meanwhile. Your value is kept here; see above for theirs."
            )
        return rebased

    def _boxes(self) -> list[str]:
        return [name for name in VALUES if name in self.fields]

    def _values(self, names: Iterable[str]) -> RuleValues:
        return cast("RuleValues", {name: self.cleaned_data[name] for name in names})


def _type(data: QueryDict, box: forms.BoundField) -> None:
    """Put a stored value into the submitted data, in the form in which a browser would send it."""
    value = box.value()
    if isinstance(value, bool):
        data.pop(box.html_name, None)
        if value:
            data[box.html_name] = "on"
    else:
        data[box.html_name] = str(box.field.widget.format_value(value) or "")
