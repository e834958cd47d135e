"""What the API shows of an operator, and what it takes."""

# ruff: noqa: N815 - the attributes are the wire names

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, TypedDict, cast
from uuid import UUID

from django.core.exceptions import ValidationError
from drf_spectacular.utils import extend_schema_field, extend_schema_serializer
from rest_framework import serializers

from operators import validators
from operators.actions import OperatorValues
from operators.actors import Source
from operators.api.fields import (
    FlagField,
    IdField,
    MomentField,
    NumberField,
    PasswordField,
    StrictSerializer,
    TextField,
    TextListField,
    WholeNumberField,
    WordField,
)
from operators.models import AuditAction, AuditEntry, BindType, EnforcementMode, HealthState, Operator, Status
from operators.secrets import Secret
from operators.wire import JSONValue, wire_name


def validate_is_live(operator_id: UUID) -> None:
    if not Operator.objects.live().filter(pk=operator_id).exists():
        raise serializers.ValidationError("There is no such operator.")


class TpsLimitSerializer(StrictSerializer):
    """How fast we may send."""

    maxTps = WholeNumberField(source="max_tps", min_value=1, max_value=2_147_483_647, help_text="Messages per second.")
    burstMultiplier = NumberField(
        source="burst_multiplier", required=False, help_text="At least 1.00, two decimals; 1.50 unless given."
    )
    enforcementMode = WordField(
        source="enforcement_mode", choices=EnforcementMode.values, required=False, help_text="HARD_REJECT unless given."
    )


class OperatorSerializer(serializers.Serializer[Operator]):
    """An operator as everybody may see it; nothing in it is, or leads to, its password."""

    operatorId = serializers.UUIDField(source="id")
    name = serializers.CharField()
    host = serializers.CharField()
    port = serializers.IntegerField()
    systemId = serializers.CharField(source="system_id")
    systemType = serializers.CharField(source="system_type")
    bindType = serializers.ChoiceField(source="bind_type", choices=BindType.values)
    useTls = serializers.BooleanField(source="use_tls")
    tpsLimit = TpsLimitSerializer(source="*")
    status = serializers.ChoiceField(choices=Status.values)
    healthState = serializers.ChoiceField(source="health_state", choices=HealthState.values)
    version = serializers.IntegerField(help_text="The ETag without its quotes.")
    hasCredential = serializers.SerializerMethodField(method_name="has_credential")
    credentialVersion = serializers.IntegerField(source="credential_version")
    credentialRotatedAt = MomentField(source="credential_rotated_at")
    backupOperatorId = serializers.UUIDField(source="backup_operator_id", allow_null=True)
    notes = serializers.CharField()
    contacts = serializers.ListField(child=serializers.CharField())
    tags = serializers.ListField(child=serializers.CharField())
    createdBy = serializers.CharField(source="created_by")
    updatedBy = serializers.CharField(source="updated_by")
    createdAt = MomentField(source="created_at")
    updatedAt = MomentField(source="updated_at")
    deletedAt = MomentField(source="deleted_at", allow_null=True)

    def has_credential(self, operator: Operator) -> bool:
        return operator.credential_version > 0


class StoredOperatorSerializer(OperatorSerializer):
    """The answer to a change that may have brought a password."""

    warnings = serializers.ListField(
        child=serializers.CharField(), help_text="What was accepted but is often a mistake, such as a long password."
    )


@extend_schema_serializer(component_name="Operator")
class OperatorInput(StrictSerializer):
    """What callers may set."""

    name = TextField(help_text="1 to 128 characters, unique whatever the case.")
    host = TextField(help_text="Hostname, IPv4 or IPv6 address; no scheme, port or path.")
    port = WholeNumberField(required=False, min_value=1, max_value=65535, help_text="2775 unless given.")
    systemId = TextField(source="system_id", help_text="SMPP system_id: 1 to 15 ASCII characters.")
    systemType = TextField(
        source="system_type", required=False, help_text="SMPP system_type: 0 to 12 ASCII characters."
    )
    bindType = WordField(
        source="bind_type", choices=BindType.values, required=False, help_text="TRANSCEIVER unless given."
    )
    useTls = FlagField(source="use_tls", required=False)
    tpsLimit = TpsLimitSerializer(source="*")
    backupOperatorId = IdField(
        source="backup_operator_id", required=False, allow_null=True, validators=[validate_is_live]
    )
    notes = TextField(required=False, max_length=10_000)
    contacts = TextListField(required=False)
    tags = TextListField(required=False)
    password = PasswordField(
        help_text="SMPP password: 1 to 8 ASCII characters; up to 64 are taken with a warning. Never given out here."
    )

    read_only_names: ClassVar[frozenset[str]] = frozenset(StoredOperatorSerializer().fields) - {"tpsLimit"}

    def to_internal_value(self, data: Any) -> Any:
        try:
            return super().to_internal_value(data)
        except serializers.ValidationError as error:
            # The action would tell of broken rules only once the types are right; the caller gets all of it at once.
            assert isinstance(error.detail, dict)
            problems = dict(error.detail)
            for field, messages in self._broken_rules(data).items():
                _add(problems, field, messages)
            raise serializers.ValidationError(problems) from None

    def _broken_rules(self, data: Any) -> dict[str, list[str]]:
        """Check the model's rules on those values that have the right type."""
        if not isinstance(data, Mapping):
            return {}
        found: dict[str, list[str]] = {}
        values = dict(_usable(self, data))
        password = values.pop("password", None)
        draft = Operator(**values)
        try:
            draft.normalize()
            draft.clean_fields(exclude={field.name for field in Operator._meta.fields if field.attname not in values})
        except ValidationError as error:
            found = {wire_name(attribute): messages for attribute, messages in error.message_dict.items()}
        if isinstance(password, Secret):
            try:
                validators.validate_password(password)
            except ValidationError as error:
                found["password"] = error.messages
        return found


@extend_schema_serializer(component_name="Operator")
class OperatorPatch(OperatorInput):
    """Any part of what callers may set."""

    tpsLimit = TpsLimitSerializer(source="*", partial=True)


class OperatorPayload(TypedDict):
    values: OperatorValues
    password: Secret | None


def split_payload(validated: Mapping[str, Any]) -> OperatorPayload:
    """Part the password from the values that go into columns."""
    values = dict(validated)
    password = values.pop("password", None)
    return {"values": cast(OperatorValues, values), "password": password}


class ReasonSerializer(StrictSerializer):
    """Why; kept in the history."""

    reason = TextField(required=False, max_length=1000, help_text="Kept in the history.")


class FieldChangeSerializer(serializers.Serializer[Any]):
    field = serializers.CharField(help_text="Wire name, such as tpsLimit.maxTps.")
    previousValue = serializers.JSONField()
    newValue = serializers.JSONField()


class FieldChange(TypedDict):
    field: str
    previousValue: JSONValue
    newValue: JSONValue


class HistoryEntrySerializer(serializers.Serializer[AuditEntry]):
    """One change: who, when, through which door, and each field before and after."""

    version = serializers.IntegerField(help_text="The operator's version after the change.")
    action = serializers.ChoiceField(choices=AuditAction.values)
    actor = serializers.CharField()
    reason = serializers.CharField()
    changes = serializers.SerializerMethodField()
    traceId = serializers.CharField(source="trace_id")
    at = MomentField()

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        # Not declared above: a class attribute `source` would hide the one that every DRF field has.
        return {**super().get_fields(), "source": serializers.ChoiceField(choices=[door.value for door in Source])}

    @extend_schema_field(FieldChangeSerializer(many=True))
    def get_changes(self, entry: AuditEntry) -> list[FieldChange]:
        return [
            {"field": field, "previousValue": before, "newValue": after}
            for field, (before, after) in entry.changes.items()
        ]


def _usable(serializer: serializers.Serializer[Any], data: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """List (attribute, value) of those fields whose value has the right type."""
    usable = []
    for name, field in serializer.fields.items():
        if name not in data:
            continue
        if isinstance(field, TpsLimitSerializer):
            if isinstance(data[name], Mapping):
                usable += _usable(field, data[name])
            continue
        try:
            usable.append((str(field.source), field.run_validation(data[name])))
        except serializers.ValidationError:
            continue
    return usable


def _add(problems: dict[str, Any], wire: str, messages: list[str]) -> None:
    """Put messages under a dotted name; what the serializer itself said about the field goes first."""
    head, _, rest = wire.partition(".")
    if rest:
        inner = problems.setdefault(head, {})
        if isinstance(inner, dict):
            _add(inner, rest, messages)
    else:
        problems.setdefault(head, messages)
