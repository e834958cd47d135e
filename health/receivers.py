"""What health does when operators change."""

from __future__ import annotations

from typing import Any

from django.dispatch import receiver

from health.models import HealthStatus
from operators.models import Operator
from operators.signals import operator_created


@receiver(operator_created)
def make_status(*, operator: Operator, **_: Any) -> None:
    """Give a new operator its status, inside the transaction that creates it."""
    HealthStatus.objects.create(operator=operator)
