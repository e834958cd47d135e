"""The API of health: what was reported and what became of it, what staff decide, and the connectors' door."""

from __future__ import annotations

from contextlib import suppress
from typing import Any
from uuid import UUID

from django.utils import timezone
from rest_framework import status
from rest_framework.exceptions import APIException
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from health import actions, intake
from health.api import filters, schema
from health.api.serializers import (
    MaintenanceInput,
    OverrideInput,
    ReceiptSerializer,
    ReportSerializer,
    StatusSerializer,
    TransitionSerializer,
)
from health.errors import BrokerUnavailable
from health.models import HealthReport, HealthStatus, HealthTransition, HealthWindow, WindowKind
from health.reports import DeadReason, Malformed
from operators.api.filters import refuse_unknown
from operators.api.peers import InternalView, Service
from operators.api.views import AdminView, read
from operators.errors import FieldProblem, InvalidPayload
from operators.models import HealthState, Operator


class OperatorHealth(AdminView, ListAPIView[HealthReport]):
    """The log; both ends of the time are always in the query, so that only their partitions are read."""

    serializer_class = ReportSerializer
    queryset = HealthReport.objects.all()

    @schema.list_reports
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)

    def filter_queryset(self, queryset: Any) -> Any:
        start, end = filters.bounded(self.request)
        operator = Operator.objects.find(self.kwargs["operator_id"])
        reports = queryset.filter(operator_id=operator.pk, observed_at__gte=start, observed_at__lt=end)
        return reports.order_by("-observed_at", "event_id")


class OperatorHealthStatus(AdminView):
    @schema.read_status
    def get(self, request: Request, operator_id: UUID) -> Response:
        refuse_unknown(request, frozenset())
        return shown(operator_id)


class OperatorHealthTransitions(AdminView, ListAPIView[HealthTransition]):
    serializer_class = TransitionSerializer
    queryset = HealthTransition.objects.all()

    @schema.list_transitions
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)

    def filter_queryset(self, queryset: Any) -> Any:
        span = filters.asked(self.request)
        moves = queryset.filter(operator=Operator.objects.find(self.kwargs["operator_id"])).order_by("-at", "-id")
        if span.start:
            moves = moves.filter(at__gte=span.start)
        return moves.filter(at__lt=span.end) if span.end else moves


class OperatorMaintenance(AdminView):
    @schema.start_maintenance
    def put(self, request: Request, operator_id: UUID) -> Response:
        asked = read(MaintenanceInput(data=request.data))
        actions.start_maintenance(
            actor=self.actor, operator_id=operator_id, until=asked["until"], reason=asked["reason"]
        )
        return shown(operator_id)

    @schema.end_maintenance
    def delete(self, request: Request, operator_id: UUID) -> Response:
        actions.end_maintenance(actor=self.actor, operator_id=operator_id)
        return Response(status=status.HTTP_204_NO_CONTENT)


class OperatorHealthOverride(AdminView):
    @schema.override_health
    def put(self, request: Request, operator_id: UUID) -> Response:
        asked = read(OverrideInput(data=request.data))
        actions.override_health(
            actor=self.actor,
            operator_id=operator_id,
            state=HealthState(asked["state"]),
            until=asked["until"],
            reason=asked["reason"],
        )
        return shown(operator_id)

    @schema.end_override
    def delete(self, request: Request, operator_id: UUID) -> Response:
        actions.end_override(actor=self.actor, operator_id=operator_id)
        return Response(status=status.HTTP_204_NO_CONTENT)


class ReportIntake(InternalView):
    """Reports of connectors that do not speak NATS; stored in the stream when the answer goes out."""

    callers = frozenset({Service.SMPP_CONNECTOR})
    takes_raw_body = True

    @schema.take_reports
    def post(self, request: Request) -> Response:
        refuse_unknown(request, frozenset())
        body = raw_body(request)
        try:
            raws, is_batch = intake.split(body)
        except Malformed as malformed:
            intake.bury(body, malformed)
            raise InvalidPayload([FieldProblem("body", malformed.message)]) from None
        receipt = intake.take(raws, now=timezone.now())
        if not receipt.accepted:
            raise InvalidPayload(problem(each, is_batch=is_batch) for each in receipt.rejected)
        return Response(ReceiptSerializer(receipt).data, status=status.HTTP_202_ACCEPTED)


def raw_body(request: Request) -> bytes:
    """Return the body as it came; one that is too large leaves a dead letter without it."""
    try:
        body: object = request.data
    except APIException as error:
        if error.status_code == status.HTTP_413_REQUEST_ENTITY_TOO_LARGE:
            # The caller hears of its size first; that the broker is away does not help it.
            with suppress(BrokerUnavailable):
                intake.bury(b"", Malformed(DeadReason.TOO_LARGE, "", str(error.detail)))
        raise
    # REST framework reads no body of length 0, and gives an empty object for it.
    return body if isinstance(body, bytes) else b""


def problem(rejected: intake.Rejected, *, is_batch: bool) -> FieldProblem:
    """Name the field as in every other refusal: `errorRate`, or `[3].errorRate` in a batch."""
    name = rejected.malformed.field
    if is_batch:
        name = f"[{rejected.index}].{name}".rstrip(".")
    return FieldProblem(name or "body", rejected.malformed.message)


def shown(operator_id: UUID) -> Response:
    """Answer with the status as it is now."""
    status = HealthStatus.objects.of_live_operators().filter(pk=operator_id).first()
    if status is None:
        # Ingest makes a row that is missing; until then nothing is known.
        status = HealthStatus(operator=Operator.objects.find(operator_id))
    windows = {window.kind: window for window in HealthWindow.objects.open().filter(operator_id=operator_id)}
    return Response(
        StatusSerializer(
            {
                **{field.attname: getattr(status, field.attname) for field in HealthStatus._meta.concrete_fields},
                "measured_since": status.since,
                "bind_state": status.bind_state or None,
                "connector_id": status.connector_id or None,
                "maintenance": windows.get(WindowKind.MAINTENANCE),
                "override": windows.get(WindowKind.OVERRIDE),
            }
        ).data
    )
