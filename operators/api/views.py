"""The admin API of operators: parse, call one action, answer."""

from __future__ import annotations

from typing import Any, Protocol
from uuid import UUID

from rest_framework import status
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.serializers import ValidationError

from operators import actions, idempotency, metrics
from operators.actors import Actor, Source
from operators.api import schema
from operators.api.base import StrictView
from operators.api.fields import StrictSerializer
from operators.api.filters import PAGING, OperatorFilter, StrictFilterBackend, refuse_unknown
from operators.api.preconditions import etag, expected_version, is_known
from operators.api.serializers import (
    HistoryEntrySerializer,
    OperatorInput,
    OperatorPatch,
    OperatorPayload,
    OperatorSerializer,
    ReasonSerializer,
    TpsLimitSerializer,
    split_payload,
)
from operators.errors import InvalidPayload
from operators.models import AuditEntry, Operator
from operators.models.operator import OperatorQuerySet
from operators.secrets import Secret
from operators.validators import password_warnings


class AdminView(StrictView):
    """Know who asks."""

    @property
    def actor(self) -> Actor:
        return Actor(self.request.user.get_username(), Source.API)


class OperatorList(AdminView, ListAPIView[Operator]):
    serializer_class = OperatorSerializer
    filter_backends = (StrictFilterBackend,)
    filterset_class = OperatorFilter

    def get_queryset(self) -> OperatorQuerySet:
        return Operator.objects.live()

    @schema.list_operators
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)

    @schema.create_operator
    def post(self, request: Request) -> Response:
        try:
            payload = split_payload(read(OperatorInput(data=request.data)))
            key = idempotency.read_key(request.headers.get(idempotency.HEADER))
        except (ValidationError, InvalidPayload):
            metrics.operator_create.labels("invalid").inc()
            raise
        password = payload["password"]
        assert password is not None

        def create(operator_id: UUID | None = None) -> Operator:
            return actions.create_operator(
                actor=self.actor, values=payload["values"], password=password, operator_id=operator_id
            )

        def represent(operator: Operator) -> dict[str, Any]:
            return stored(operator, password)

        if key is None:
            body, is_repeated = represent(create()), False
        else:
            digest = idempotency.fingerprint(method="POST", path=request.path, body=request.data)
            body, is_repeated = idempotency.create_once(
                actor=self.actor,
                key=key,
                digest=digest,
                find=lambda operator_id: Operator.objects.filter(pk=operator_id).first(),
                create=create,
                represent=represent,
            )
        location = reverse("operator", kwargs={"operator_id": body["operatorId"]})
        headers = {"ETag": f'"{body["version"]}"', "Location": location}
        if is_repeated:
            headers["Idempotent-Replayed"] = "true"
        return Response(body, status=status.HTTP_201_CREATED, headers=headers)


class OperatorDetail(AdminView):
    @schema.read_operator
    def get(self, request: Request, operator_id: UUID) -> Response:
        operator = Operator.objects.find(operator_id)
        if is_known(request, operator):
            return Response(status=status.HTTP_304_NOT_MODIFIED, headers={"ETag": etag(operator)})
        return shown(operator)

    @schema.update_operator
    def patch(self, request: Request, operator_id: UUID) -> Response:
        seen = expected_version(request, is_required=True)
        payload: OperatorPayload = split_payload(read(OperatorPatch(data=request.data, partial=True)))
        operator = actions.update_operator(
            actor=self.actor,
            operator_id=operator_id,
            changes=payload["values"],
            password=payload["password"],
            expected_version=seen,
        )
        return Response(stored(operator, payload["password"]), headers={"ETag": etag(operator)})

    @schema.delete_operator
    def delete(self, request: Request, operator_id: UUID) -> Response:
        actions.delete_operator(actor=self.actor, operator_id=operator_id, expected_version=expected_version(request))
        return Response(status=status.HTTP_204_NO_CONTENT)


class Move(Protocol):
    def __call__(
        self, *, actor: Actor, operator_id: UUID, expected_version: int | None = None, reason: str = ""
    ) -> Operator: ...


class MoveView(AdminView):
    """One POST for one action that needs no more than a reason."""

    def move(self, request: Request, operator_id: UUID, action: Move) -> Response:
        reason = read(ReasonSerializer(data=request.data)).get("reason", "")
        operator = action(
            actor=self.actor, operator_id=operator_id, expected_version=expected_version(request), reason=reason
        )
        return shown(operator)


class OperatorActivate(MoveView):
    @schema.activate_operator
    def post(self, request: Request, operator_id: UUID) -> Response:
        return self.move(request, operator_id, actions.activate_operator)


class OperatorSuspend(MoveView):
    @schema.suspend_operator
    def post(self, request: Request, operator_id: UUID) -> Response:
        return self.move(request, operator_id, actions.suspend_operator)


class OperatorDeactivate(MoveView):
    @schema.deactivate_operator
    def post(self, request: Request, operator_id: UUID) -> Response:
        return self.move(request, operator_id, actions.deactivate_operator)


class OperatorRestore(MoveView):
    @schema.restore_operator
    def post(self, request: Request, operator_id: UUID) -> Response:
        return self.move(request, operator_id, actions.restore_operator)


class CredentialRevert(MoveView):
    @schema.revert_credential
    def post(self, request: Request, operator_id: UUID) -> Response:
        return self.move(request, operator_id, actions.revert_credential)


class TpsLimit(AdminView):
    @schema.read_tps_limit
    def get(self, request: Request, operator_id: UUID) -> Response:
        operator = Operator.objects.find(operator_id)
        if is_known(request, operator):
            return Response(status=status.HTTP_304_NOT_MODIFIED, headers={"ETag": etag(operator)})
        return Response(TpsLimitSerializer(operator).data, headers={"ETag": etag(operator)})

    @schema.replace_tps_limit
    def put(self, request: Request, operator_id: UUID) -> Response:
        limit = read(TpsLimitSerializer(data=request.data))
        operator = actions.update_operator(
            actor=self.actor,
            operator_id=operator_id,
            changes={
                "max_tps": limit["max_tps"],
                # PUT replaces: what is left out goes back to its default.
                "burst_multiplier": limit.get("burst_multiplier", Operator._meta.get_field("burst_multiplier").default),
                "enforcement_mode": limit.get("enforcement_mode", Operator._meta.get_field("enforcement_mode").default),
            },
            expected_version=expected_version(request),
        )
        return Response(TpsLimitSerializer(operator).data, headers={"ETag": etag(operator)})


class OperatorHistory(AdminView, ListAPIView[AuditEntry]):
    serializer_class = HistoryEntrySerializer
    queryset = AuditEntry.objects.all()

    @schema.read_history
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)

    def filter_queryset(self, queryset: Any) -> Any:
        refuse_unknown(self.request, PAGING)
        return queryset.filter(operator=Operator.objects.find(self.kwargs["operator_id"]))


def read(serializer: StrictSerializer) -> dict[str, Any]:
    """Return what the body says, by the model's names; raises ValidationError with every wrong field."""
    serializer.is_valid(raise_exception=True)
    validated: dict[str, Any] = serializer.validated_data
    return validated


def shown(operator: Operator) -> Response:
    return Response(OperatorSerializer(operator).data, headers={"ETag": etag(operator)})


def stored(operator: Operator, password: Secret | None) -> dict[str, Any]:
    return {**OperatorSerializer(operator).data, "warnings": password_warnings(password) if password else []}
