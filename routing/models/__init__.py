"""What routing stores."""

from __future__ import annotations

from routing.models.destination import DestinationPrefix
from routing.models.rule import RoutingRule, RoutingRuleQuerySet, RuleState

__all__ = ["DestinationPrefix", "RoutingRule", "RoutingRuleQuerySet", "RuleState"]
