"""Rate sheets: an upload, what its lines would do, and what applying it did, so that it can be taken back."""

from __future__ import annotations

import uuid
from decimal import Decimal
from typing import Any, Final, Self

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Abs

from operators.models import Operator
from routing.errors import RateSheetNotFound


class SheetStatus(models.TextChoices):
    UPLOADED = "UPLOADED", "uploaded"
    PREVIEWED = "PREVIEWED", "previewed"
    APPLIED = "APPLIED", "applied"
    UNDONE = "UNDONE", "undone"
    FAILED = "FAILED", "failed"


class LineKind(models.TextChoices):
    """What a line does to the prices that its operator has; the values are words of API and reports."""

    NEW = "new", "new"
    DEARER = "dearer", "dearer"
    CHEAPER = "cheaper", "cheaper"
    CURRENCY_CHANGED = "currencyChanged", "other currency"
    UNCHANGED = "unchanged", "unchanged"
    ENDED = "ended", "ended"
    REJECTED = "rejected", "rejected"


OPEN_STATUSES: Final = (SheetStatus.UPLOADED, SheetStatus.PREVIEWED, SheetStatus.FAILED)


class RateSheetQuerySet(models.QuerySet["RateSheet"]):
    def find(self, sheet_id: uuid.UUID) -> RateSheet:
        """Read one sheet of an operator that is not deleted; raises RateSheetNotFound."""
        sheet = self.select_related("operator").filter(pk=sheet_id, operator__deleted_at=None).first()
        if sheet is None:
            raise RateSheetNotFound
        return sheet

    def open(self) -> Self:
        """Keep what was never applied."""
        return self.filter(status__in=OPEN_STATUSES)


class RateSheet(models.Model):
    """One uploaded file for one operator; only routing.imports writes it."""

    id = models.UUIDField("sheet ID", primary_key=True, default=uuid.uuid4, editable=False)
    operator = models.ForeignKey(Operator, on_delete=models.PROTECT, related_name="rate_sheets", db_index=False)
    filename = models.CharField(max_length=255)
    size = models.PositiveBigIntegerField(help_text="Bytes.")
    sha256 = models.CharField(max_length=64)
    status = models.CharField(max_length=9, choices=SheetStatus, default=SheetStatus.UPLOADED)
    failure = models.TextField(blank=True, default="", help_text="Why the last preview could not be made, in words.")

    # How the file is read: guessed or remembered at the upload, corrected by staff.
    column_map = models.JSONField(default=dict)
    titles = models.JSONField(default=list)
    sample = models.JSONField(default=list)
    notes = models.JSONField(default=list, help_text="What the first look at the file noticed.")
    default_currency = models.CharField(max_length=3, help_text="For lines without a currency (ISO 4217).")
    default_effective_from = models.DateTimeField(help_text="For lines without a date (UTC).")
    is_full = models.BooleanField(
        "full sheet", default=False, help_text="The sheet names every price: whatever it does not name ends."
    )
    missing_end_at = models.DateTimeField(
        null=True, blank=True, help_text="When what a full sheet does not name ends; its earliest date unless given."
    )

    # What the preview found: a figure per kind of line and a few more, and the operator's version that it saw.
    counts = models.JSONField(default=dict)
    warnings = models.JSONField(default=list, help_text="What the preview noticed.")
    seen_version = models.PositiveBigIntegerField(null=True, blank=True)
    progress = models.PositiveIntegerField(default=0, help_text="Lines read so far.")
    total = models.PositiveIntegerField(null=True, blank=True, help_text="Lines of prices; null until all are read.")

    uploaded_by = models.CharField(max_length=255)
    uploaded_source = models.CharField(max_length=10)
    uploaded_at = models.DateTimeField()
    previewed_at = models.DateTimeField(null=True, blank=True)
    applied_by = models.CharField(max_length=255, blank=True, default="")
    applied_source = models.CharField(max_length=10, blank=True, default="")
    applied_at = models.DateTimeField(null=True, blank=True)
    applied_version = models.PositiveBigIntegerField(
        null=True, blank=True, help_text="The operator's version since then."
    )
    undone_by = models.CharField(max_length=255, blank=True, default="")
    undone_source = models.CharField(max_length=10, blank=True, default="")
    undone_at = models.DateTimeField(null=True, blank=True)

    objects = RateSheetQuerySet.as_manager()

    class Meta:
        default_permissions = ("view",)
        permissions = (
            ("import_ratesheet", "Can upload, preview, apply and throw away rate sheets"),
            ("undo_ratesheet", "Can undo the import of a rate sheet"),
        )
        ordering = ("-uploaded_at", "id")
        indexes = (
            # The list of all sheets, and an operator's.
            models.Index(fields=("-uploaded_at", "id"), name="rate_sheet_by_upload"),
            models.Index(fields=("operator", "-uploaded_at", "id"), name="rate_sheet_by_operator"),
        )
        constraints = (
            models.CheckConstraint(condition=Q(status__in=SheetStatus.values), name="rate_sheet_status_known"),
            models.CheckConstraint(
                condition=~Q(status__in=(SheetStatus.APPLIED, SheetStatus.UNDONE)) | Q(applied_at__isnull=False),
                name="rate_sheet_applied_has_time",
            ),
        )

    def __str__(self) -> str:
        return self.filename

    @property
    def is_open(self) -> bool:
        """Tell whether the sheet was never applied: its file is there, and another preview can be made."""
        return self.status in OPEN_STATUSES

    @property
    def has_columns(self) -> bool:
        """Tell whether it is known which column is which; if not, staff have to say so before a preview."""
        return bool(self.column_map.get("columns"))

    def kinds(self) -> dict[str, int]:
        """Give the figure of every kind of line, also of those that are absent."""
        return {kind.value: int(self.counts.get(kind.value, 0)) for kind in LineKind}

    @property
    def accepted(self) -> int:
        """Count the lines that can be applied."""
        kinds = self.kinds()
        return sum(kinds.values()) - kinds[LineKind.REJECTED] - kinds[LineKind.ENDED]

    @property
    def adds_rules(self) -> bool:
        """Tell whether a line has a price for what had none."""
        return self.kinds()[LineKind.NEW] > 0

    @property
    def changes_rules(self) -> bool:
        """Tell whether the preview saw a rule that ends or gets another price."""
        kinds = self.kinds()
        touching = (LineKind.DEARER, LineKind.CHEAPER, LineKind.CURRENCY_CHANGED, LineKind.ENDED)
        return any(kinds[kind] for kind in touching) or bool(self.counts.get("superseded"))

    @property
    def missing(self) -> int:
        """Count the rules that run on and that no line names."""
        return int(self.counts.get("missing", 0))

    def in_words(self) -> str:
        """Tell what the sheet does on one line, for the audit trail and the command."""
        figures = [f"{count:,} {LineKind(kind).label}" for kind, count in self.kinds().items() if count]
        return f"rate sheet {self.filename}: {', '.join(figures) or 'no lines'}"


class RateSheetFile(models.Model):
    """The file itself, as long as another preview of it can be made; apart from the sheet, so that lists stay light."""

    sheet = models.OneToOneField(RateSheet, on_delete=models.CASCADE, primary_key=True, related_name="file")
    content = models.BinaryField()

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return str(self.sheet_id)


class RateSheetLineQuerySet(models.QuerySet["RateSheetLine"]):
    def rejected(self) -> Self:
        return self.filter(kind=LineKind.REJECTED).order_by("line", "id")

    def repriced(self) -> Self:
        return self.filter(kind__in=(LineKind.DEARER, LineKind.CHEAPER))

    def biggest_first(self) -> Self:
        """Order by percentage, up or down; what has none, for want of a price in that currency, comes first."""
        return self.order_by(Abs(F("change_percent")).desc(nulls_first=True), "line")

    def large(self, percent: int) -> Self:
        """Keep the changes that have to be confirmed: above the percentage, from nothing, or of the currency."""
        return self.filter(
            Q(kind=LineKind.CURRENCY_CHANGED)
            | Q(kind__in=(LineKind.DEARER, LineKind.CHEAPER))
            & (Q(change_percent__gt=percent) | Q(change_percent__lt=-percent) | Q(change_percent=None))
        )


class RateSheetLine(models.Model):
    """What one line of a sheet says and does; lines of the kind `ended` tell of rules that a full sheet leaves out."""

    sheet = models.ForeignKey(RateSheet, on_delete=models.CASCADE, related_name="lines", db_index=False)
    line = models.PositiveIntegerField(null=True, help_text="In the file, from 1; null for the kind ended.")
    prefix = models.CharField(max_length=16, blank=True, default="", db_collation="C")
    mcc = models.CharField("MCC", max_length=3, blank=True, default="")
    mnc = models.CharField("MNC", max_length=3, blank=True, default="")
    cost = models.DecimalField(max_digits=18, decimal_places=6, null=True)
    currency = models.CharField(max_length=3, blank=True, default="")
    effective_from = models.DateTimeField(null=True)
    effective_to = models.DateTimeField(null=True)
    kind = models.CharField(max_length=15, choices=LineKind)
    writes = models.BooleanField(default=False, help_text="Applying the sheet makes a rule of this line.")
    # The rule in force when the line begins. No foreign key: the rule may be gone by now, the line stays.
    rule_id = models.UUIDField(null=True)
    old_cost = models.DecimalField(max_digits=18, decimal_places=6, null=True)
    old_currency = models.CharField(max_length=3, blank=True, default="")
    change_percent: models.DecimalField[Any, Decimal | None] = models.DecimalField(
        max_digits=24, decimal_places=2, null=True, help_text="Null where there was no price, or another currency."
    )
    # Why the line is rejected: the column at fault or `duplicate`, what the cell holds, and the rule in words.
    field = models.CharField(max_length=20, blank=True, default="")
    value = models.CharField(max_length=200, blank=True, default="")
    reason = models.TextField(blank=True, default="")

    objects = RateSheetLineQuerySet.as_manager()

    class Meta:
        default_permissions = ()
        ordering = ("sheet", "line", "id")
        indexes = (
            # A sheet's lines of one kind, in the file's order.
            models.Index(fields=("sheet", "kind", "line"), name="rate_sheet_line_by_kind"),
        )

    def __str__(self) -> str:
        network = "/".join(part for part in (self.mcc, self.mnc) if part)
        return f"{self.prefix} {network}".rstrip()

    def in_words(self) -> str:
        """Tell of a changed price: +4479 from 0.0400 EUR to 0.0415 EUR (+3.75 %)."""
        percent = "" if self.change_percent is None else f" ({self.change_percent:+} %)"
        return f"{self} from {self.old_cost} {self.old_currency} to {self.cost} {self.currency}{percent}"

    def as_change(self) -> dict[str, Any]:
        """Give what the API says of a changed price."""
        return {
            "line": self.line,
            "prefix": self.prefix,
            "mcc": self.mcc or None,
            "mnc": self.mnc or None,
            "oldCost": None if self.old_cost is None else float(self.old_cost),
            "oldCurrency": self.old_currency or None,
            "cost": None if self.cost is None else float(self.cost),
            "currency": self.currency or None,
            "changePercent": None if self.change_percent is None else float(self.change_percent),
        }

    def as_rejected(self) -> dict[str, Any]:
        """Give what the API says of a line that is left out."""
        return {"line": self.line, "field": self.field, "value": self.value, "reason": self.reason}


class RateSheetEnding(models.Model):
    """What applying a sheet changed on one active rule that was there, as it was before."""

    sheet = models.ForeignKey(RateSheet, on_delete=models.CASCADE, related_name="endings", db_index=False)
    # No foreign key: staff may delete the rule, and then the sheet can no longer be undone.
    rule_id = models.UUIDField()
    is_superseded = models.BooleanField(help_text="The rule became inactive; otherwise it ends earlier.")
    effective_to = models.DateTimeField(null=True, help_text="The rule's end before.")
    updated_by = models.CharField(max_length=255)
    updated_at = models.DateTimeField()

    class Meta:
        default_permissions = ()
        constraints = (models.UniqueConstraint(fields=("sheet", "rule_id"), name="rate_sheet_ending_once"),)

    def __str__(self) -> str:
        return str(self.rule_id)


class RateSheetProfile(models.Model):
    """How the sheets of an operator are read, as the last one that was applied had it."""

    operator = models.OneToOneField(
        Operator, on_delete=models.CASCADE, primary_key=True, related_name="rate_sheet_profile"
    )
    column_map = models.JSONField()
    default_currency = models.CharField(max_length=3)
    updated_by = models.CharField(max_length=255)
    updated_at = models.DateTimeField()

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return str(self.operator_id)
