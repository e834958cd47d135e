"""What the API shows of a routing rule, and what it takes."""

# ruff: noqa: N815 - the attributes are the wire names

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, TypedDict, cast

from django.core.exceptions import ValidationError
from drf_spectacular.utils import extend_schema_serializer
from rest_framework import serializers

from operators.api.fields import FlagField, MomentField, StrictSerializer, TextField, WholeNumberField
from operators.api.moments import GivenMomentField
from routing.actions import RuleValues
from routing.api.rules.fields import CodeField, PriceField
from routing.models import RoutingRule
from routing.models.rule import BIGGEST
from routing.wire import RULE_NAMES


class RuleSerializer(serializers.Serializer[RoutingRule]):
    """A routing rule: this operator carries what goes to this prefix, at this price, in this time."""

    ruleId = serializers.UUIDField(source="id")
    operatorId = serializers.UUIDField(source="operator_id")
    prefix = serializers.CharField()
    mcc = CodeField(allow_null=True)
    mnc = CodeField(allow_null=True)
    priority = serializers.IntegerField()
    weight = serializers.IntegerField()
    costPerSegment = serializers.FloatField(
        source="cost_per_segment", min_value=0, help_text="At most 6 decimals, exact below 1,000,000,000."
    )
    currency = serializers.CharField()
    effectiveFrom = MomentField(source="effective_from", allow_null=True)
    effectiveTo = MomentField(source="effective_to", allow_null=True)
    active = serializers.BooleanField()
    version = serializers.IntegerField(help_text="The ETag without its quotes; the operator has a version of its own.")
    createdBy = serializers.CharField(source="created_by")
    updatedBy = serializers.CharField(source="updated_by")
    createdAt = MomentField(source="created_at")
    updatedAt = MomentField(source="updated_at")


@extend_schema_serializer(component_name="RoutingRule")
class RuleInput(StrictSerializer):
    """What callers may set."""

    prefix = TextField(help_text="+ and 1 to 15 digits, the first 1 to 9 (E.164).")
    mcc = TextField(required=False, allow_null=True, allow_blank=False, help_text="3 digits (E.212), or null.")
    mnc = TextField(
        required=False, allow_null=True, allow_blank=False, help_text="2 or 3 digits (E.212), only beside an mcc."
    )
    priority = WholeNumberField(
        required=False, min_value=0, max_value=BIGGEST, help_text="Lower is tried first; 10 unless given."
    )
    weight = WholeNumberField(
        required=False,
        min_value=1,
        max_value=BIGGEST,
        help_text="Share of the traffic among rules of equal priority; 100 unless given.",
    )
    costPerSegment = PriceField(
        source="cost_per_segment", help_text="Price of one SMS segment: at least 0, at most 6 decimals."
    )
    currency = TextField(required=False, help_text="ISO 4217; USD unless given.")
    effectiveFrom = GivenMomentField(
        source="effective_from", required=False, allow_null=True, help_text="The rule routes from then on."
    )
    effectiveTo = GivenMomentField(
        source="effective_to", required=False, allow_null=True, help_text="The rule routes until then, exclusive."
    )
    active = FlagField(required=False, help_text="True unless given.")
    allowOverlap = FlagField(
        source="allow_overlap",
        required=False,
        help_text="Whether the prefix may contain, or lie inside, others of the operator at the same priority.",
    )

    read_only_names: ClassVar[frozenset[str]] = frozenset(RuleSerializer().fields)

    def to_internal_value(self, data: Any) -> Any:
        try:
            return super().to_internal_value(data)
        except serializers.ValidationError as error:
            # The action would tell of broken rules only once the types are right; the caller gets all of it at once.
            assert isinstance(error.detail, dict)
            raise serializers.ValidationError({**self._broken_rules(data), **error.detail}) from None

    def _broken_rules(self, data: Any) -> dict[str, list[str]]:
        """Check the model's rules on those values that have the right type."""
        if not isinstance(data, Mapping):
            return {}
        values = rule_values(dict(self._usable(data)))["values"]
        try:
            RoutingRule(**values).clean_fields(
                exclude={field.name for field in RoutingRule._meta.fields if field.attname not in values}
            )
        except ValidationError as error:
            return {RULE_NAMES[attribute]: messages for attribute, messages in error.message_dict.items()}
        return {}

    def _usable(self, data: Mapping[str, Any]) -> list[tuple[str, Any]]:
        usable = []
        for name in data.keys() & self.fields.keys():
            field = self.fields[name]
            try:
                usable.append((str(field.source), field.run_validation(data[name])))
            except serializers.ValidationError:
                continue
        return usable


@extend_schema_serializer(component_name="RoutingRule")
class RulePatch(RuleInput):
    """Any part of what callers may set."""


class RulePayload(TypedDict):
    values: RuleValues
    allow_overlap: bool


def rule_values(validated: Mapping[str, Any]) -> RulePayload:
    """Part what goes into columns from what is only said about the request."""
    values = dict(validated)
    allow_overlap = values.pop("allow_overlap", False)
    for code in ("mcc", "mnc"):
        if values.get(code, "") is None:
            values[code] = ""
    return {"values": cast(RuleValues, values), "allow_overlap": allow_overlap}
