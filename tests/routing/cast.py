"""The rules that routing's tests are about, made through the actions that everybody uses."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from operators.actions import activate_operator
from operators.models import HealthState, Operator
from routing.actions import RuleValues, create_rule
from routing.models import DestinationPrefix, RoutingRule
from tests.factories import ALICE, make_operator


def rule_values(**overrides: Any) -> RuleValues:
    values: RuleValues = {"prefix": "+4479", "cost_per_segment": Decimal("0.0415"), "currency": "EUR"}
    return {**values, **overrides}  # type: ignore[typeddict-item]


def make_rule(operator: Operator, *, allow_overlap: bool = True, **overrides: Any) -> RoutingRule:
    return create_rule(
        actor=ALICE, operator_id=operator.pk, values=rule_values(**overrides), allow_overlap=allow_overlap
    )


def make_carrier(name: str, *, health: HealthState = HealthState.HEALTHY, is_active: bool = True) -> Operator:
    """Create an operator that routes, in the given state of health."""
    operator = make_operator(name=name)
    if is_active:
        operator = activate_operator(actor=ALICE, operator_id=operator.pk)
    Operator.objects.filter(pk=operator.pk).update(health_state=health)
    operator.refresh_from_db()
    return operator


def make_destination(prefix: str, country: str, **values: Any) -> DestinationPrefix:
    from django.utils import timezone

    return DestinationPrefix.objects.create(
        **{"prefix": prefix, "country": country, "updated_by": "tests", "updated_at": timezone.now(), **values}
    )
