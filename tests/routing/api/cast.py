"""What the API tests of routing share: where rules are, and a body that is taken."""

from __future__ import annotations

from typing import Any, Final

from operators.models import Operator
from routing.models import RoutingRule

RULES: Final = "/v1/admin/routing-rules"
NOTHING: Final = "5e0c7a92-1f4b-4d3a-8c66-7b9d0e2f4a15"
BODY: Final[dict[str, Any]] = {"prefix": "+4479", "costPerSegment": 0.0415, "currency": "EUR"}


def rules_of(operator: Operator) -> str:
    return f"/v1/admin/operators/{operator.pk}/routing-rules"


def address(rule: RoutingRule) -> str:
    return f"{RULES}/{rule.pk}"
