"""What an action of routing may answer instead of doing its work, besides what operators.errors has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from operators.errors import OperatorError

if TYPE_CHECKING:
    from routing.guards import Finding

# Rules that one finding lists; the message tells how many there are.
MOST_LISTED: Final = 20


class RuleNotFound(OperatorError):
    code, status = "NOT_FOUND", 404

    def __init__(self) -> None:
        super().__init__("There is no such routing rule.")


class RoutingRuleConflict(OperatorError):
    """The rule meets others of its operator; `findings` say how, and which they are."""

    code, status = "ROUTING_RULE_CONFLICT", 409

    def __init__(self, findings: Sequence[Finding]) -> None:
        self.findings = tuple(findings)
        self.members = {"conflicts": [finding.as_member() for finding in self.findings]}
        super().__init__(" ".join(finding.message for finding in self.findings))


class RuleCreationUnderWay(OperatorError):
    """Another request with the same Idempotency-Key is creating this very rule."""

    code, status, retry_after = "ROUTING_RULE_CONFLICT", 409, 2

    def __init__(self) -> None:
        self.members = {"conflicts": []}
        super().__init__("The creation of this rule is under way; ask again in a moment.")
