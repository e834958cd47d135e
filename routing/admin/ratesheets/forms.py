"""What staff say about a sheet: whose it is, how it is read, and that it is meant."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from django import forms
from django.core.exceptions import ValidationError

from operators.errors import InvalidPayload, OperatorError
from operators.forms import reason_field
from operators.models import Operator
from operators.validators import validate_currency
from routing.admin.ratesheets.wording import COLUMNS, FULL_SHEET, MARKS, ORDERS
from routing.forms import moment_field
from routing.imports.options import SheetOptions
from routing.models import RateSheet
from routing.ratesheets.limits import MOST_BYTES, MOST_PREAMBLE
from routing.ratesheets.lines import Column, ColumnMap

MOST_MEGABYTES: Final = MOST_BYTES // 1024**2
TOO_LARGE: Final = (
    f"The file is larger than {MOST_MEGABYTES} MB, the most that a rate sheet may have. It was not read. Save it "
    "without what is not prices, or in parts."
)
ACCEPTED: Final = ".csv,.txt,.tsv,.xlsx"
# Where the form has another name than the actions.
FIELDS: Final = {"currency": "currency", "effectiveFrom": "effective_from", "missingEndAt": "missing_end_at"}


class CurrencyField(forms.CharField):
    def __init__(self) -> None:
        super().__init__(
            required=False,
            label="Default currency",
            help_text="For lines without one, such as EUR. Empty: as in this operator's last sheet, else USD.",
            validators=[validate_currency],
            widget=forms.TextInput(attrs={"size": 5, "maxlength": 3, "autocomplete": "off"}),
        )

    def to_python(self, value: Any) -> str:
        return str(super().to_python(value) or "").upper()


class OptionsForm(forms.Form):
    """What the sheet leaves open; `options()` is what the actions take."""

    currency = CurrencyField()
    effective_from = moment_field(
        "Default date (UTC)", "From when lines without a date count. Empty: the moment of the upload."
    )
    is_full = forms.BooleanField(required=False, label="Full sheet", help_text=FULL_SHEET)

    def options(self) -> SheetOptions:
        return SheetOptions(
            currency=self.cleaned_data["currency"],
            effective_from=self.cleaned_data["effective_from"],
            is_full=self.cleaned_data["is_full"],
            missing_end_at=self.cleaned_data.get("missing_end_at"),
        )

    def refuse(self, refusal: OperatorError) -> None:
        """Put an action's refusal at the field that it names, or above the form."""
        if not isinstance(refusal, InvalidPayload):
            self.add_error(None, str(refusal))
            return
        for problem in refusal.problems:
            name = FIELDS.get(problem.field, problem.field)
            self.add_error(name if name in self.fields else None, problem.message)


class UploadForm(OptionsForm):
    """The file comes last: of one that is too large nothing is read, and the fields before it are kept."""

    operator = forms.ModelChoiceField(
        Operator.objects.live(), error_messages={"invalid_choice": "There is no such operator any more."}
    )
    file = forms.FileField(
        label="File",
        help_text=f"CSV (comma, semicolon, tab) or Excel (.xlsx), at most {MOST_MEGABYTES} MB.",
        error_messages={"required": "Choose a file.", "empty": "The file is empty."},
        max_length=None,
        widget=forms.FileInput(attrs={"accept": ACCEPTED}),
    )
    field_order = ("operator", "currency", "effective_from", "is_full", "file")

    def refuse_size(self) -> None:
        self.errors.pop("file", None)
        self.add_error("file", TOO_LARGE)


class ReadingForm(OptionsForm):
    """Correct how a sheet is read: a box over each column, and the rest beside; `column_map` once it is valid."""

    header_line = forms.IntegerField(
        min_value=1,
        max_value=MOST_PREAMBLE,
        label="Line of the titles",
        help_text=f"1 to {MOST_PREAMBLE}; prices begin below it.",
    )
    decimal_mark = forms.ChoiceField(choices=tuple(MARKS.items()), label="Decimal mark")
    date_order = forms.ChoiceField(choices=tuple(ORDERS.items()), label="Dates")
    missing_end_at = moment_field(
        "Missing prices end (UTC)", "For a full sheet: when what it does not name ends. Empty: at its earliest date."
    )
    field_order = (
        "header_line",
        "decimal_mark",
        "date_order",
        "currency",
        "effective_from",
        "is_full",
        "missing_end_at",
    )

    column_map: ColumnMap

    def __init__(self, data: Any = None, *, sheet: RateSheet) -> None:
        self.sheet = sheet
        stored = sheet.column_map
        super().__init__(
            data,
            initial={
                "header_line": stored.get("headerLine"),
                "decimal_mark": stored.get("decimalMark"),
                "date_order": stored.get("dateOrder"),
                "currency": sheet.default_currency,
                "effective_from": sheet.default_effective_from,
                "is_full": sheet.is_full,
                "missing_end_at": sheet.missing_end_at,
            },
        )
        self.fields["currency"].help_text = "For lines without one, such as EUR."
        self.fields["effective_from"].help_text = "From when lines without a date count."
        held = {index: name for name, index in stored.get("columns", {}).items()}
        for index, title in enumerate(sheet.titles):
            self.fields[_name(index)] = forms.ChoiceField(
                required=False,
                choices=(("", "—"), *COLUMNS.items()),
                initial=held.get(index, ""),
                label=f"Column {index + 1}{f', {title}' if title else ''}",
            )

    def column_boxes(self) -> list[forms.BoundField]:
        return [self[_name(index)] for index in range(len(self.sheet.titles))]

    def other_boxes(self) -> list[forms.BoundField]:
        return [self[name] for name in self.field_order]

    def clean(self) -> dict[str, Any]:
        if self.cleaned_data.get("missing_end_at") and not self.cleaned_data.get("is_full"):
            self.add_error("missing_end_at", "Only what a full sheet does not name ends.")
        columns = self._columns()
        if self.errors:
            return self.cleaned_data
        line = self.cleaned_data["header_line"]
        stored = self.sheet.column_map
        try:
            self.column_map = ColumnMap.from_dict(
                {
                    **stored,
                    "columns": columns,
                    "headerLine": line,
                    "decimalMark": self.cleaned_data["decimal_mark"],
                    "dateOrder": self.cleaned_data["date_order"],
                    # The titles that are known are those of the line found first.
                    "titles": stored.get("titles", []) if line == stored.get("headerLine") else [],
                }
            )
        except ValueError as error:
            raise ValidationError(str(error)) from None
        return self.cleaned_data

    def _columns(self) -> dict[str, int]:
        """Read the boxes over the columns; what they leave out is said in words of the page."""
        columns: dict[str, int] = {}
        for index in range(len(self.sheet.titles)):
            if not (column := self.cleaned_data.get(_name(index))):
                continue
            if column in columns:
                message = f"Column {columns[column] + 1} is the {COLUMNS[column].lower()} already."
                self.add_error(_name(index), message)
            columns.setdefault(column, index)
        if Column.COST not in columns:
            self.add_error(None, "Say which column holds the price.")
        if not columns.keys() & {Column.PREFIX, Column.MCC, Column.MCC_MNC}:
            self.add_error(None, "Say which column holds the prefix, or the MCC.")
        return columns


class ApplyForm(forms.Form):
    """Say why; `seen` is the preview that the page showed, so that nobody applies another one."""

    reason = reason_field()
    seen = forms.CharField(widget=forms.HiddenInput)

    def clean_seen(self) -> datetime:
        try:
            return datetime.fromisoformat(self.cleaned_data["seen"])
        except ValueError:
            raise forms.ValidationError("Look at the preview first.") from None


class ConfirmForm(ApplyForm):
    """The second question, where prices move far."""

    confirm = forms.BooleanField(
        label="These changes are meant",
        error_messages={"required": "Tick this, if they are. Nothing was changed yet."},
    )


class UndoForm(forms.Form):
    reason = reason_field()


def _name(index: int) -> str:
    return f"column_{index}"
