"""What the API shows of rate sheets."""

# ruff: noqa: N815 - the attributes are the wire names

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from operators.api.fields import MomentField
from routing.models import LineKind, RateSheet, SheetStatus

COLUMN_MAP = {
    "type": "object",
    "description": (
        "Which column, counted from 0, holds what; the line of the titles; how numbers and dates are written. "
        "Only columns is needed."
    ),
    "required": ["columns"],
    "properties": {
        "columns": {"type": "object", "additionalProperties": {"type": "integer", "minimum": 0}},
        "headerLine": {"type": "integer", "minimum": 1},
        "decimalMark": {"enum": [".", ","]},
        "dateOrder": {"enum": ["DMY", "MDY"]},
        "titles": {"type": "array", "items": {"type": "string"}},
        "currency": {"type": "string"},
        "delimiter": {"type": "string"},
        "sheet": {"type": "string"},
    },
}


class CountsSerializer(serializers.Serializer[Any]):
    """How many lines there are of each kind; `ended` are rules that a full sheet does not name."""

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        return {kind.value: serializers.IntegerField(min_value=0) for kind in LineKind}


class ChangeSerializer(serializers.Serializer[Any]):
    """One price that becomes dearer or cheaper."""

    line = serializers.IntegerField(help_text="In the file, from 1.")
    prefix = serializers.CharField()
    mcc = serializers.CharField(allow_null=True)
    mnc = serializers.CharField(allow_null=True)
    oldCost = serializers.FloatField(help_text="Per segment, when the line begins.")
    oldCurrency = serializers.CharField()
    cost = serializers.FloatField()
    currency = serializers.CharField()
    changePercent = serializers.FloatField(allow_null=True, help_text="Null where it cost nothing until now.")


class RejectedLineSerializer(serializers.Serializer[Any]):
    """One line that is left out."""

    line = serializers.IntegerField()
    field = serializers.CharField(help_text="The column at fault, or `duplicate`.")
    value = serializers.CharField(allow_blank=True, help_text="What the cell holds.")
    reason = serializers.CharField()


@extend_schema_field(COLUMN_MAP)
class ColumnMapField(serializers.JSONField):
    pass


class ImportSerializer(serializers.Serializer[Any]):
    """What a sheet does, or has done."""

    sheetId = serializers.UUIDField(allow_null=True, help_text="Null after a dry run, which leaves nothing behind.")
    operatorId = serializers.UUIDField()
    filename = serializers.CharField()
    rows = serializers.IntegerField(help_text="Lines of prices, the rejected ones included.")
    counts = CountsSerializer()
    missing = serializers.IntegerField(help_text="Rules that run on and that no line names.")
    columnMap = ColumnMapField(help_text="How the file was read.")
    notes = serializers.ListField(child=serializers.CharField())
    largeChanges = serializers.IntegerField(
        help_text="Lines that move a price above the guard's percentage or change its currency."
    )
    biggestChanges = ChangeSerializer(many=True)
    rejected = RejectedLineSerializer(many=True, help_text="The first 1,000.")
    rejectedTotal = serializers.IntegerField()
    version = serializers.IntegerField(
        help_text="The operator's version: after the import, or as the dry run saw it, for If-Match of the import."
    )


class RateSheetSerializer(serializers.Serializer[RateSheet]):
    """An import: how far it is, who did it, what came of it."""

    sheetId = serializers.UUIDField(source="id")
    operatorId = serializers.UUIDField(source="operator_id")
    filename = serializers.CharField()
    size = serializers.IntegerField(help_text="Bytes.")
    sha256 = serializers.CharField()
    status = serializers.ChoiceField(choices=SheetStatus.values)
    failure = serializers.CharField(allow_blank=True, help_text="Why it could not be read, in words.")
    progress = serializers.IntegerField(help_text="Lines read so far.")
    rows = serializers.IntegerField(source="total", allow_null=True, help_text="Null until all lines are read.")
    counts = CountsSerializer(source="kinds")
    missing = serializers.IntegerField()
    notes = serializers.SerializerMethodField()
    uploadedBy = serializers.CharField(source="uploaded_by")
    uploadedAt = MomentField(source="uploaded_at")
    appliedBy = serializers.CharField(source="applied_by", allow_blank=True)
    appliedAt = MomentField(source="applied_at", allow_null=True)
    appliedVersion = serializers.IntegerField(
        source="applied_version", allow_null=True, help_text="The operator's version right after the import."
    )
    undoneBy = serializers.CharField(source="undone_by", allow_blank=True)
    undoneAt = MomentField(source="undone_at", allow_null=True)

    def get_notes(self, sheet: RateSheet) -> list[str]:
        return [*sheet.notes, *sheet.warnings]
