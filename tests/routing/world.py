"""Operators and rules put straight into the tables, where a test is about many of them and not about their making."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from itertools import count
from typing import Any, Final

from operators.models import HealthState, Operator, Status
from routing.models import RoutingRule

NOON: Final = datetime(2026, 12, 1, 12, tzinfo=UTC)
NUMBER: Final = "+447911123456"
_serial = count(1)


def carrier(name: str = "", **values: Any) -> Operator:
    """Add an operator that is ACTIVE and HEALTHY unless `values` say otherwise."""
    serial = next(_serial)
    return Operator.objects.create(
        **{
            "name": name or f"Carrier {serial}",
            "host": f"smpp{serial}.carrier.example",
            "system_id": f"account{serial}",
            "max_tps": 100,
            "status": Status.ACTIVE,
            "health_state": HealthState.HEALTHY,
            "credential_version": 1,
            "credential_rotated_at": NOON,
            "created_by": "tests",
            "updated_by": "tests",
            "created_at": NOON,
            "updated_at": NOON,
            **values,
        }
    )


def rule(operator: Operator, prefix: str = "+4479", **values: Any) -> RoutingRule:
    return RoutingRule.objects.create(
        **{
            "operator": operator,
            "prefix": prefix,
            "cost_per_segment": Decimal("0.04"),
            "currency": "EUR",
            "created_by": "tests",
            "updated_by": "tests",
            "created_at": NOON,
            "updated_at": NOON,
            **values,
        }
    )
