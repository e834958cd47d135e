"""What routing does when the legacy migration brings an operator with its destinations and price."""

from __future__ import annotations

from typing import Any

from django.dispatch import receiver

from operators.actors import Actor
from operators.errors import OperatorError
from operators.legacy.sheet import Routes
from operators.models import Operator
from operators.signals import operator_migrated
from routing import guards
from routing.actions import RuleValues, create_rules
from routing.models import RoutingRule


@receiver(operator_migrated)
def make_rules(*, operator: Operator | None, actor: Actor | None, routes: Routes, **_: Any) -> list[str]:
    """Make one rule for each prefix that has none yet, and return what staff should look at; see operators.signals."""
    warnings = []
    values: list[RuleValues] = []
    for prefix in routes.prefixes:
        assert routes.cost_per_segment is not None
        value: RuleValues = {
            "prefix": prefix,
            "mcc": routes.mcc,
            "mnc": routes.mnc,
            "cost_per_segment": routes.cost_per_segment,
            "currency": routes.currency,
        }
        if problems := guards.country_problems(RoutingRule(prefix=prefix, mcc=routes.mcc, mnc=routes.mnc)):
            warnings.append(f"{problems[0].message} The rule for {prefix} is made without MCC and MNC.")
            value["mcc"] = value["mnc"] = ""
        values.append(value)
    if operator is not None and actor is not None:
        there = set(RoutingRule.objects.filter(operator=operator).values_list("prefix", flat=True))
        missing = [value for value in values if value["prefix"] not in there]
        try:
            create_rules(actor=actor, operator_id=operator.pk, values=missing, reason="From the legacy sheet")
        except OperatorError as refusal:
            warnings.append(f"No routing rules were made: {refusal}")
    return warnings
