"""The board: every live operator's health on one list, the worst first."""

from __future__ import annotations

from health.models import HealthStatus
from operators.admin.base import ReadOnlyAdmin


class BoardPage(ReadOnlyAdmin[HealthStatus]):
    """Show the board."""
