"""What staff may do to many rules at once: each one through its action, with an event of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from django.utils import timezone

from operators.actors import Actor
from routing import actions
from routing.models import RoutingRule, RuleState

MOST_AT_ONCE: Final = 200


@dataclass(frozen=True)
class Move:
    label: str
    explanation: tuple[str, ...]
    is_possible: Callable[[RoutingRule, datetime], bool]
    run: Callable[..., RoutingRule]


def end_rule(*, actor: Actor, rule_id: UUID, reason: str) -> RoutingRule:
    return _change(actor, rule_id, {"effective_to": timezone.now()}, reason)


def deactivate_rule(*, actor: Actor, rule_id: UUID, reason: str) -> RoutingRule:
    return _change(actor, rule_id, {"active": False}, reason)


def _change(actor: Actor, rule_id: UUID, changes: actions.RuleValues, reason: str) -> RoutingRule:
    # Neither of them makes a rule meet one that it did not meet before.
    return actions.update_rule(actor=actor, rule_id=rule_id, changes=changes, allow_overlap=True, reason=reason)


BULK_MOVES: Final = {
    "end_selected": Move(
        label="End now",
        explanation=(
            "They route until this moment; from then on other rules, or none, take their traffic.",
            "The price stays on record, with the time in which it held.",
        ),
        is_possible=lambda rule, now: rule.state_at(now) == RuleState.IN_FORCE,
        run=end_rule,
    ),
    "deactivate_selected": Move(
        label="Set inactive",
        explanation=(
            "They do not route, now or later, until somebody sets them active again; their times stay as they are.",
            "For a price that is over, “End now” is the better choice: it says until when it held.",
        ),
        is_possible=lambda rule, now: rule.active,
        run=deactivate_rule,
    ),
}
