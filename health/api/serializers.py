"""What the API shows of an operator's health, and what it takes to decide it."""

# ruff: noqa: N815 - the attributes are the wire names

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from health.actions import OVERRIDES
from health.models import HealthReport, HealthTransition, HealthWindow, TransitionReason
from health.reports import BindState, DeadReason
from operators.api.fields import MomentField, StrictSerializer, TextField, WordField
from operators.api.moments import GivenMomentField
from operators.models import HealthState

BIND_STATES = [state.value for state in BindState]


class ReportSerializer(serializers.Serializer[HealthReport]):
    """One report of a connector, as it was logged."""

    eventId = serializers.UUIDField(source="event_id")
    connectorId = serializers.CharField(source="connector_id")
    observedAt = MomentField(source="observed_at", help_text="By the connector's clock.")
    receivedAt = MomentField(source="received_at", help_text="By the broker's clock.")
    bindState = serializers.ChoiceField(source="bind_state", choices=BIND_STATES)
    errorRate = serializers.FloatField(source="error_rate", min_value=0, max_value=1)
    bindError = serializers.CharField(source="bind_error", allow_null=True)
    latencyMs = serializers.IntegerField(source="latency_ms", allow_null=True)


class WindowSerializer(serializers.Serializer[HealthWindow]):
    """A maintenance or an override that is open."""

    state = serializers.ChoiceField(choices=HealthState.values, help_text="What others see while it is open.")
    until = MomentField(source="ends_at")
    reason = serializers.CharField()
    startedAt = MomentField(source="starts_at")
    startedBy = serializers.CharField(source="opened_by")


class StatusSerializer(serializers.Serializer[Any]):
    """How an operator is: what others see, what was measured, the newest report, and what staff have decided."""

    operatorId = serializers.UUIDField(source="operator_id")
    state = serializers.ChoiceField(
        source="effective_state", choices=HealthState.values, help_text="What routing and everybody else see."
    )
    since = MomentField(source="effective_since", allow_null=True)
    reason = serializers.ChoiceField(
        source="effective_reason", choices=TransitionReason.values, allow_blank=True, help_text="Empty before any move."
    )
    measuredState = serializers.ChoiceField(
        source="state", choices=HealthState.values, help_text="What the reports alone say."
    )
    measuredSince = MomentField(source="measured_since", allow_null=True)
    errorRate = serializers.FloatField(source="error_rate", allow_null=True)
    bindState = serializers.ChoiceField(source="bind_state", choices=BIND_STATES, allow_null=True)
    bindError = serializers.CharField(source="bind_error", allow_null=True)
    latencyMs = serializers.IntegerField(source="latency_ms", allow_null=True)
    connectorId = serializers.CharField(source="connector_id", allow_null=True)
    observedAt = MomentField(source="observed_at", allow_null=True)
    receivedAt = MomentField(source="received_at", allow_null=True)
    sequence = serializers.IntegerField(help_text="Version of the newest operator.health event; 0 before the first.")
    maintenance = WindowSerializer(allow_null=True)
    override = WindowSerializer(allow_null=True)


class TransitionSerializer(serializers.Serializer[HealthTransition]):
    """One move of the state, with its reason."""

    previousState = serializers.ChoiceField(source="from_state", choices=HealthState.values)
    newState = serializers.ChoiceField(source="to_state", choices=HealthState.values)
    reason = serializers.ChoiceField(choices=TransitionReason.values)
    at = MomentField(help_text="In event time; for STALE 60 s after the last report.")
    recordedAt = MomentField(source="recorded_at")
    errorRate = serializers.FloatField(source="error_rate", allow_null=True)
    bindError = serializers.CharField(source="bind_error", allow_null=True)
    hidden = serializers.BooleanField(
        source="is_hidden", help_text="Measured, but not seen by others: a maintenance or an override was open."
    )
    sequence = serializers.IntegerField(
        allow_null=True, help_text="The version of its operator.health event; null where there was none."
    )


class MaintenanceInput(StrictSerializer):
    """Until when the operator is left out, and why."""

    until = GivenMomentField(help_text="In the future, at most 30 days ahead.")
    reason = TextField(max_length=1000, help_text="Kept in the history; not blank.")


class OverrideInput(StrictSerializer):
    """The state that others are shown, until when, and why."""

    state = WordField(choices=[state.value for state in OVERRIDES])
    until = GivenMomentField(help_text="In the future, at most 30 days ahead.")
    reason = TextField(max_length=1000, help_text="Kept in the history; not blank.")


class RejectedSerializer(serializers.Serializer[Any]):
    index = serializers.IntegerField(help_text="Its place in the batch, from 0.")
    eventId = serializers.UUIDField(source="event_id", allow_null=True, help_text="Null where it could not be read.")
    reason = serializers.ChoiceField(source="malformed.reason", choices=[reason.value for reason in DeadReason])
    field = serializers.CharField(source="malformed.field", help_text="Empty where the report as a whole is at fault.")
    message = serializers.CharField(source="malformed.message")


class ReceiptSerializer(serializers.Serializer[Any]):
    """What became of the reports: stored for ingest, or set aside with a reason."""

    accepted = serializers.IntegerField()
    rejected = RejectedSerializer(many=True)
