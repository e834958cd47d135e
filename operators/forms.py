"""The console's forms: they parse what staff type; the rules themselves live in the model and the actions."""

from __future__ import annotations

import copy
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, Final, cast

from django import forms
from django.contrib.admin.widgets import AdminTextareaWidget, AdminTextInputWidget
from django.core.exceptions import ValidationError
from django.db.models import Q
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from operators.actions import OperatorValues
from operators.errors import DuplicateOperator, InvalidPayload, OperatorError
from operators.fields import CredentialInput
from operators.models import Operator
from operators.moments import in_utc
from operators.secrets import Secret
from operators.validators import validate_password
from operators.wire import WIRE_NAMES

if TYPE_CHECKING:
    OperatorModelForm = forms.ModelForm[Operator]
else:
    OperatorModelForm = forms.ModelForm

MODEL_FIELDS: Final = (
    "name",
    "host",
    "port",
    "system_id",
    "system_type",
    "bind_type",
    "use_tls",
    "max_tps",
    "burst_multiplier",
    "enforcement_mode",
    "backup_operator",
    "contacts",
    "tags",
    "notes",
)
FORM_FIELDS: Final = {wire: name for name, wire in WIRE_NAMES.items() if name != "backup_operator_id"}
LENGTH_RULE: Final = "1 to 8 ASCII characters by SMPP v3.4; up to 64 are accepted."


def password_field(**kwargs: Any) -> CredentialInput:
    """Make a box for a password; no maxlength, for browsers would cut a pasted one short without a word."""
    return CredentialInput(validators=[lambda text: validate_password(Secret(text))], **kwargs)


class ListField(forms.CharField):
    """Take several texts, one a line or separated by commas."""

    def __init__(self, *, separator: str, longest: int, most: int, **kwargs: Any) -> None:
        self.separator, self.longest, self.most = separator, longest, most
        super().__init__(required=False, **kwargs)

    def prepare_value(self, value: object) -> object:
        return self.glue.join(value) if isinstance(value, list) else value

    @property
    def glue(self) -> str:
        return self.separator if self.separator == "\n" else f"{self.separator} "

    def clean(self, value: object) -> list[str]:
        text = super().clean(value).replace("\r\n", "\n").replace("\r", "\n")
        items = list(dict.fromkeys(stripped for item in text.split(self.separator) if (stripped := item.strip())))
        for item in items:
            if len(item) > self.longest:
                raise ValidationError(f"“{item[:20]}…” is longer than {self.longest} characters.", code="item_length")
        if len(items) > self.most:
            raise ValidationError(f"At most {self.most} are possible, not {len(items)}.", code="item_count")
        return items

    def has_changed(self, initial: object, data: object) -> bool:
        try:
            return (initial or []) != self.clean(data)
        except ValidationError:
            return True


# The form in which browsers send and take the value of such an input.
LOCAL_MINUTE: Final = "%Y-%m-%dT%H:%M"
LOCAL_SECOND: Final = f"{LOCAL_MINUTE}:%S"


class MomentField(forms.DateTimeField):
    """Take a moment as a browser's own input for one sends it, which is UTC here, or with an offset."""

    def __init__(self, *, has_seconds: bool = False, **kwargs: Any) -> None:
        attrs: dict[str, Any] = {"type": "datetime-local"} | ({"step": 1} if has_seconds else {})
        shown = LOCAL_SECOND if has_seconds else LOCAL_MINUTE
        widget = forms.DateTimeInput(attrs=attrs, format=shown)
        super().__init__(required=False, input_formats=(LOCAL_SECOND, LOCAL_MINUTE), widget=widget, **kwargs)

    def to_python(self, value: Any) -> datetime | None:
        moment: datetime | None = super().to_python(value)
        try:
            return None if moment is None else in_utc(moment)
        except ValueError as error:
            raise ValidationError(str(error), code="invalid") from None


def reason_field() -> forms.CharField:
    return forms.CharField(
        required=False,
        max_length=1000,
        strip=True,
        label="Reason",
        help_text="Optional: a ticket or a sentence. It is kept in the history with your name.",
        widget=AdminTextInputWidget(attrs={"autocomplete": "off"}),
    )


def version_field() -> forms.IntegerField:
    """Carry the version that the page showed, so that nobody's change is overwritten unseen."""
    return forms.IntegerField(min_value=1, widget=forms.HiddenInput)


class ReasonForm(forms.Form):
    """Confirm a move and say why."""

    reason = reason_field()
    expected_version = version_field()


class PasswordForm(ReasonForm):
    """Rotate a password."""

    password = password_field(label="New password", help_text=LENGTH_RULE)
    field_order = ("password", "reason", "expected_version")


class OperatorForm(OperatorModelForm):
    """Create or edit an operator; `values()` and `changes()` are what the actions take."""

    password = password_field(help_text=LENGTH_RULE)
    contacts = ListField(
        separator="\n",
        longest=200,
        most=50,
        widget=AdminTextareaWidget(attrs={"rows": 3}),
        help_text="One a line: name, role, e-mail or phone.",
    )
    tags = ListField(separator=",", longest=50, most=50, widget=AdminTextInputWidget, help_text="Separated by commas.")
    reason = reason_field()
    expected_version = version_field()

    class Meta:
        model = Operator
        fields = MODEL_FIELDS
        # The field's own spelling; Django would make it "System_id".
        labels: ClassVar = {"system_id": "system_id", "system_type": "system_type"}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # The form writes what was typed into its instance; the page goes on showing the stored operator.
        kwargs["instance"] = copy.copy(kwargs.get("instance"))
        super().__init__(*args, **kwargs)
        if self.is_edit:
            self.initial["expected_version"] = self.instance.version
        if "backup_operator" in self.fields:
            self._offer_backups()

    @property
    def is_edit(self) -> bool:
        return not self.instance._state.adding

    @property
    def secret(self) -> Secret | None:
        secret = self.cleaned_data.get("password")
        return secret if isinstance(secret, Secret) else None

    def values(self) -> OperatorValues:
        return self._values(MODEL_FIELDS)

    def changes(self) -> OperatorValues:
        """Name only what differs from the row, so that two people can edit different fields one after the other."""
        return self._values(tuple(name for name in MODEL_FIELDS if name in self.changed_data))

    def refuse(self, refusal: OperatorError) -> None:
        """Put an action's refusal where the reader looks for it: at the field, or above the form."""
        match refusal:
            case InvalidPayload():
                for problem in refusal.problems:
                    self._add_problem(problem.field, problem.message)
            case DuplicateOperator():
                message = duplicate_message(refusal)
                for field in refusal.fields:
                    self._add_problem(field, message if field == refusal.fields[0] else "See above.")
            case _:
                self.add_error(None, str(refusal))

    def _values(self, names: tuple[str, ...]) -> OperatorValues:
        keys = ("backup_operator_id" if name == "backup_operator" else name for name in names)
        return cast("OperatorValues", {key: getattr(self.instance, key) for key in keys})

    def _add_problem(self, wire: str, message: str | SafeString) -> None:
        name = FORM_FIELDS.get(wire)
        if name in self.fields:
            self.add_error(name, message)
        else:
            self.add_error(None, f"{wire}: {message}")

    def _offer_backups(self) -> None:
        field = self.fields["backup_operator"]
        assert isinstance(field, forms.ModelChoiceField)
        field.queryset = Operator.objects.filter(Q(deleted_at=None) | Q(pk=self.instance.backup_operator_id)).exclude(
            pk=self.instance.pk
        )
        field.error_messages["invalid_choice"] = "There is no such operator any more, or it is this very one."


def duplicate_message(refusal: DuplicateOperator) -> SafeString:
    """Name the operator that is in the way, linked to its page."""
    existing = refusal.existing
    what = "this name" if refusal.fields == ("name",) else "this host, port and system_id"
    return format_html(
        'The operator <a href="{}">{}</a> ({}:{}, {}) already has {}.',
        reverse("admin:operators_operator_change", args=[existing.pk]),
        existing.name,
        existing.host,
        existing.port,
        existing.system_id,
        what,
    )
