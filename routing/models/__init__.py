"""What routing stores."""

from __future__ import annotations

from routing.models.destination import DestinationPrefix
from routing.models.ratesheet import (
    LineKind,
    RateSheet,
    RateSheetEnding,
    RateSheetFile,
    RateSheetLine,
    RateSheetProfile,
    SheetStatus,
)
from routing.models.rule import RoutingRule, RoutingRuleQuerySet, RuleState

__all__ = [
    "DestinationPrefix",
    "LineKind",
    "RateSheet",
    "RateSheetEnding",
    "RateSheetFile",
    "RateSheetLine",
    "RateSheetProfile",
    "RoutingRule",
    "RoutingRuleQuerySet",
    "RuleState",
    "SheetStatus",
]
