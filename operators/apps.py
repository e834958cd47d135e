"""The system of record: operators, their credentials, the audit trail and the outbox."""

from __future__ import annotations

from django.apps import AppConfig


class OperatorsConfig(AppConfig):
    name = "operators"
    verbose_name = "Operators"

    def ready(self) -> None:
        from operators import checks  # noqa: F401 - registers the system checks
