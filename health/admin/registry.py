"""Everything that staff see and decide of health, put together."""

from __future__ import annotations

from django.contrib import admin

from health.admin.board import BoardPage
from health.admin.page import OperatorHealthPages
from health.models import HealthStatus


@admin.register(HealthStatus)
class HealthStatusAdmin(BoardPage, OperatorHealthPages):
    view_on_site = False
