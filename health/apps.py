"""Health: reports from the connectors in, the state of an operator out."""

from __future__ import annotations

from django.apps import AppConfig


class HealthConfig(AppConfig):
    name = "health"
    verbose_name = "Health"

    def ready(self) -> None:
        from health import checks, receivers  # noqa: F401 - registers and connects them
