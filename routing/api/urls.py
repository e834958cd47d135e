"""The addresses of routing, under /v1/admin/ and under /v1/internal/."""

from __future__ import annotations

from django.urls import URLPattern, path

from routing.api.destinations import views as destinations
from routing.api.resolve import views as resolve
from routing.api.roster import views as roster
from routing.api.rules import views as rules
from routing.api.sheets import views as sheets

admin: list[URLPattern] = [
    path("operators/<uuid:operator_id>/routing-rules", rules.OperatorRuleList.as_view(), name="operator-routing-rules"),
    path("routing-rules", rules.RuleList.as_view(), name="routing-rules"),
    path("routing-rules/<uuid:rule_id>", rules.RuleDetail.as_view(), name="routing-rule"),
    path("destination-prefixes", destinations.DestinationList.as_view(), name="destination-prefixes"),
    path("destination-prefixes/<uuid:prefix_id>", destinations.DestinationDetail.as_view(), name="destination-prefix"),
    path("operators/<uuid:operator_id>/rate-sheets", sheets.OperatorRateSheets.as_view(), name="operator-rate-sheets"),
    path("rate-sheets/<uuid:sheet_id>", sheets.RateSheetDetail.as_view(), name="rate-sheet"),
    path("rate-sheets/<uuid:sheet_id>/undo", sheets.RateSheetUndo.as_view(), name="rate-sheet-undo"),
    path("routes/resolve", resolve.RouteResolve.as_view(), name="route-resolve"),
    path("routes/resolve-many", resolve.RouteResolveMany.as_view(), name="route-resolve-many"),
]
internal: list[URLPattern] = [
    path("operators", roster.OperatorRoster.as_view(), name="operator-roster"),
    path("operators/<uuid:operator_id>", roster.RosterOperator.as_view(), name="roster-operator"),
    path("routes/resolve", resolve.RouteResolveInternal.as_view(), name="route-resolve-internal"),
]
