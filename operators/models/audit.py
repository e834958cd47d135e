"""Who changed what, when, through which door: one row per change, never a password."""

from __future__ import annotations

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models

from operators.models.operator import Operator


class AuditAction(models.TextChoices):
    CREATE = "create"
    UPDATE = "update"
    ROTATE_CREDENTIAL = "rotate_credential"
    REVERT_CREDENTIAL = "revert_credential"
    ACTIVATE = "activate"
    SUSPEND = "suspend"
    DEACTIVATE = "deactivate"
    DELETE = "delete"
    RESTORE = "restore"
    START_MAINTENANCE = "start_maintenance"
    END_MAINTENANCE = "end_maintenance"
    OVERRIDE_HEALTH = "override_health"
    END_OVERRIDE = "end_override"
    ADD_RULE = "add_rule"
    CHANGE_RULE = "change_rule"
    DELETE_RULE = "delete_rule"
    IMPORT_RATE_SHEET = "import_rate_sheet"
    UNDO_RATE_SHEET = "undo_rate_sheet"


class AuditEntry(models.Model):
    """Tell of one change; `changes` maps a field's wire name to [before, after]."""

    operator = models.ForeignKey(Operator, on_delete=models.PROTECT, related_name="audit_entries", db_index=False)
    version = models.PositiveBigIntegerField(help_text="The operator's version after the change.")
    action = models.CharField(max_length=20, choices=AuditAction)
    actor = models.CharField(max_length=255)
    source = models.CharField(max_length=10)
    reason = models.TextField(blank=True, default="")
    changes = models.JSONField(default=dict, encoder=DjangoJSONEncoder)
    trace_id = models.CharField(max_length=32, blank=True, default="")
    at = models.DateTimeField()

    class Meta:
        verbose_name_plural = "audit entries"
        ordering = ("-id",)
        indexes = (
            # An operator's history, newest first.
            models.Index(fields=("operator", "-id"), name="audit_by_operator"),
        )

    def __str__(self) -> str:
        return f"{self.action} by {self.actor}"
