"""The addresses of routing, under /v1/admin/ and under /v1/internal/."""

from __future__ import annotations

from django.urls import URLPattern, path

from routing.api.rules import views as rules

admin: list[URLPattern] = [
    path("operators/<uuid:operator_id>/routing-rules", rules.OperatorRuleList.as_view(), name="operator-routing-rules"),
    path("routing-rules", rules.RuleList.as_view(), name="routing-rules"),
    path("routing-rules/<uuid:rule_id>", rules.RuleDetail.as_view(), name="routing-rule"),
]
internal: list[URLPattern] = []
