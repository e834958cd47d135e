"""What staff type to put an operator into maintenance or to override its state."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from django import forms
from django.contrib.admin.widgets import AdminTextareaWidget
from django.core.exceptions import ValidationError

from health.actions import MAX_REASON, OVERRIDES
from operators.errors import InvalidPayload, OperatorError
from operators.forms import MomentField
from operators.models import HealthState

LENGTHS: Final = {"1": timedelta(hours=1), "4": timedelta(hours=4), "8": timedelta(hours=8)}
UNTIL: Final = "until"
LENGTH_CHOICES: Final = (("1", "1 hour"), ("4", "4 hours"), ("8", "8 hours"), (UNTIL, "Until the time below"))

MEANINGS: Final[dict[str, str]] = {
    HealthState.HEALTHY: "Healthy: routing uses it as usual",
    HealthState.DEGRADED: "Degraded: routing uses it after healthy ones",
    HealthState.UNHEALTHY: "Unhealthy: routing leaves it out",
}


class DecisionForm(forms.Form):
    """Say why; `values()` is what the action takes."""

    reason = forms.CharField(
        max_length=MAX_REASON,
        label="Reason",
        help_text="A ticket or a sentence. It is kept in the history with your name.",
        widget=AdminTextareaWidget(attrs={"rows": 3}),
    )

    def values(self, now: datetime) -> dict[str, Any]:
        return {"reason": self.cleaned_data["reason"]}

    def add_refusal(self, refusal: OperatorError) -> None:
        """Show what the action refused at the field that it names."""
        if not isinstance(refusal, InvalidPayload):
            self.add_error(None, str(refusal))
            return
        for problem in refusal.problems:
            self.add_error(problem.field if problem.field in self.fields else None, problem.message)


class EndForm(DecisionForm):
    """End what is open; saying why is not asked for."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["reason"].required = False
        self.fields["reason"].help_text = "Optional. It is kept in the history with your name."


class WindowForm(DecisionForm):
    """Say for how long, or until when, and why."""

    length = forms.ChoiceField(
        required=False, choices=LENGTH_CHOICES, label="How long", widget=forms.RadioSelect(attrs={"class": "choices"})
    )
    until = MomentField(label="Until (UTC)", help_text="In UTC, at most 30 days ahead.")
    field_order: tuple[str, ...] = ("length", "until", "reason")

    def clean(self) -> dict[str, Any]:
        """Take a moment that was typed for the choice of it, yet never let one of two answers win unseen."""
        length, until = self.cleaned_data.get("length"), self.cleaned_data.get("until")
        if "length" in self.errors or "until" in self.errors:
            return self.cleaned_data
        if until and length in LENGTHS:
            raise ValidationError({"until": "Choose either a length of time or a moment, not both."})
        if not until and length == UNTIL:
            raise ValidationError({"until": "Say until when."})
        if not until and not length:
            raise ValidationError({"length": "Say for how long."})
        return self.cleaned_data

    def values(self, now: datetime) -> dict[str, Any]:
        until = self.cleaned_data["until"] or now + LENGTHS[self.cleaned_data["length"]]
        return {**super().values(now), "until": until}


class OverrideForm(WindowForm):
    """Say which state others are to see."""

    state = forms.ChoiceField(
        choices=[(state, MEANINGS[state]) for state in OVERRIDES],
        label="State",
        widget=forms.RadioSelect(attrs={"class": "choices"}),
    )
    field_order = ("state", "length", "until", "reason")

    def values(self, now: datetime) -> dict[str, Any]:
        return {**super().values(now), "state": HealthState(self.cleaned_data["state"])}
