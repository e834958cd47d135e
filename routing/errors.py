"""What an action of routing may answer instead of doing its work, besides what operators.errors has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from operators.errors import OperatorError

if TYPE_CHECKING:
    from routing.guards import Finding
    from routing.models import DestinationPrefix, RateSheetLine, RoutingRule

# Rules that one finding lists; the message tells how many there are.
MOST_LISTED: Final = 20


class RuleNotFound(OperatorError):
    code, status = "NOT_FOUND", 404

    def __init__(self) -> None:
        super().__init__("There is no such routing rule.")


class RateSheetNotFound(OperatorError):
    code, status = "NOT_FOUND", 404

    def __init__(self) -> None:
        super().__init__("There is no such rate sheet.")


class RateChangeUnconfirmed(OperatorError):
    """Prices of the sheet move further than a slip of the decimal mark would be noticed at; nothing was changed."""

    code, status = "RATE_CHANGE_UNCONFIRMED", 409

    def __init__(self, *, total: int, percent: int, biggest: Sequence[RateSheetLine]) -> None:
        self.total = total
        self.biggest = tuple(biggest)
        self.members = {
            "percent": percent,
            "total": total,
            "changes": [line.as_change() for line in self.biggest],
        }
        super().__init__(
            f"{total:,} prices change by more than {percent} % or change their currency, such as "
            f"{', '.join(line.in_words() for line in self.biggest[:3])}. Nothing was changed; confirm them if they "
            "are meant."
        )


class RateSheetTouched(OperatorError):
    """What the sheet made or ended is no longer as it left it; `rules` are the first of those concerned."""

    code, status = "RATE_SHEET_TOUCHED", 409

    def __init__(self, *, rules: Sequence[RoutingRule], total: int, gone: int) -> None:
        self.rules = tuple(rules)
        self.total, self.gone = total, gone
        self.members = {
            "total": total,
            "gone": gone,
            "rules": [
                {"ruleId": str(rule.pk), "prefix": rule.prefix, "updatedBy": rule.updated_by} for rule in self.rules
            ],
        }
        words = []
        if total:
            named = ", ".join(f"{rule} by {rule.updated_by}" for rule in self.rules[:3])
            what = "1 rule was" if total == 1 else f"{total:,} rules were"
            words.append(f"{what} changed or added since ({named}{', …' if total > 3 else ''})")
        if gone:
            words.append("1 rule was deleted" if gone == 1 else f"{gone:,} rules were deleted")
        super().__init__(f"The sheet cannot be undone as a whole: {' and '.join(words)}. Nothing was changed.")


class ImportNotAllowed(OperatorError):
    """Whoever applies the sheet may not do to rules what it would do."""

    code, status = "FORBIDDEN", 403

    def __init__(self, what: str) -> None:
        super().__init__(f"The sheet would {what}, which you may not do. Nothing was changed; ask somebody who may.")


class RoutingRuleConflict(OperatorError):
    """The rule meets others of its operator; `findings` say how, and which they are."""

    code, status = "ROUTING_RULE_CONFLICT", 409

    def __init__(self, findings: Sequence[Finding]) -> None:
        self.findings = tuple(findings)
        self.members = {"conflicts": [finding.as_member() for finding in self.findings]}
        super().__init__(" ".join(finding.message for finding in self.findings))


class DestinationNotFound(OperatorError):
    code, status = "NOT_FOUND", 404

    def __init__(self) -> None:
        super().__init__("There is no such destination prefix.")


class DuplicatePrefix(OperatorError):
    """The prefix has a row already; it is to be changed instead."""

    code, status = "DUPLICATE_PREFIX", 409

    def __init__(self, existing: DestinationPrefix) -> None:
        self.existing = existing
        self.members = {"prefixId": str(existing.pk)}
        super().__init__(f"There is a destination prefix {existing.prefix} already; change that one.")


class RuleCreationUnderWay(OperatorError):
    """Another request with the same Idempotency-Key is creating this very rule."""

    code, status, retry_after = "ROUTING_RULE_CONFLICT", 409, 2

    def __init__(self) -> None:
        self.members = {"conflicts": []}
        super().__init__("The creation of this rule is under way; ask again in a moment.")
