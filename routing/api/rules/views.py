"""The admin API of routing rules: parse, call one action, answer."""

from __future__ import annotations

from functools import partial
from typing import Any
from uuid import UUID

from rest_framework import status
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.serializers import ValidationError

from operators import idempotency
from operators.api.filters import StrictFilterBackend
from operators.api.pagination import BoundedPagination
from operators.api.preconditions import etag, expected_version, is_known
from operators.api.views import AdminView, read
from operators.errors import CreationUnderWay, InvalidPayload
from operators.models import Operator
from routing import actions, metrics
from routing.api.rules import schema
from routing.api.rules.filters import OperatorRuleFilter, RuleFilter
from routing.api.rules.serializers import RuleInput, RulePatch, RuleSerializer, rule_values
from routing.errors import RuleCreationUnderWay
from routing.models import RoutingRule, RoutingRuleQuerySet


class RuleListView(AdminView, ListAPIView[RoutingRule]):
    serializer_class = RuleSerializer
    pagination_class = BoundedPagination
    filter_backends = (StrictFilterBackend,)


class RuleList(RuleListView):
    filterset_class = RuleFilter

    def get_queryset(self) -> RoutingRuleQuerySet:
        return RoutingRule.objects.of_live_operators()

    @schema.list_rules
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)


class OperatorRuleList(RuleListView):
    filterset_class = OperatorRuleFilter
    queryset = RoutingRule.objects.all()

    def filter_queryset(self, queryset: Any) -> Any:
        operator = Operator.objects.find(self.kwargs["operator_id"])
        return super().filter_queryset(queryset.filter(operator_id=operator.pk))

    @schema.list_operator_rules
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)

    @schema.create_rule
    def post(self, request: Request, operator_id: UUID) -> Response:
        try:
            payload = rule_values(read(RuleInput(data=request.data)))
            key = idempotency.read_key(request.headers.get(idempotency.HEADER))
        except (ValidationError, InvalidPayload):
            metrics.rule_create.labels("error").inc()
            raise
        create = partial(actions.create_rule, actor=self.actor, operator_id=operator_id, **payload)
        if key is None:
            body, is_repeated = shown(create()), False
        else:
            digest = idempotency.fingerprint(method="POST", path=request.path, body=request.data)
            try:
                body, is_repeated = idempotency.create_once(
                    actor=self.actor,
                    key=key,
                    digest=digest,
                    find=lambda rule_id: RoutingRule.objects.filter(pk=rule_id).first(),
                    create=lambda rule_id: create(rule_id=rule_id),
                    represent=shown,
                )
            except CreationUnderWay:
                raise RuleCreationUnderWay from None
        location = reverse("routing-rule", kwargs={"rule_id": body["ruleId"]})
        headers = {"ETag": f'"{body["version"]}"', "Location": location}
        if is_repeated:
            headers["Idempotent-Replayed"] = "true"
        return Response(body, status=status.HTTP_201_CREATED, headers=headers)


class RuleDetail(AdminView):
    @schema.read_rule
    def get(self, request: Request, rule_id: UUID) -> Response:
        rule = actions.find_rule(rule_id)
        if is_known(request, rule):
            return Response(status=status.HTTP_304_NOT_MODIFIED, headers={"ETag": etag(rule)})
        return Response(shown(rule), headers={"ETag": etag(rule)})

    @schema.update_rule
    def patch(self, request: Request, rule_id: UUID) -> Response:
        seen = expected_version(request, is_required=True)
        payload = rule_values(read(RulePatch(data=request.data, partial=True)))
        rule = actions.update_rule(
            actor=self.actor,
            rule_id=rule_id,
            changes=payload["values"],
            allow_overlap=payload["allow_overlap"],
            expected_version=seen,
        )
        return Response(shown(rule), headers={"ETag": etag(rule)})

    @schema.delete_rule
    def delete(self, request: Request, rule_id: UUID) -> Response:
        actions.delete_rule(actor=self.actor, rule_id=rule_id, expected_version=expected_version(request))
        return Response(status=status.HTTP_204_NO_CONTENT)


def shown(rule: RoutingRule) -> dict[str, Any]:
    return dict(RuleSerializer(rule).data)
