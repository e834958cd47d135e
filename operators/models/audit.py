"""Who changed what, when, through which door: one row per change, never a password."""

from __future__ import annotations

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models

from operators.models.chained import Chained
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
    UPLOAD_RATE_SHEET = "upload_rate_sheet"
    DISCARD_RATE_SHEET = "discard_rate_sheet"
    PUBLISH_AGAIN = "publish_again"
    RECONCILE = "reconcile"
    ROLL_BACK = "roll_back"
    LOAD = "load"
    LOG_IN = "log_in"
    LOG_OUT = "log_out"
    LOGIN_FAILED = "login_failed"


class AuditObject(models.TextChoices):
    RATE_SHEET = "rate_sheet"
    DESTINATION = "destination_prefix"
    EVENT = "event"
    USER = "user"
    GROUP = "group"
    RUN = "migration_run"


class AuditEntry(Chained):
    """Tell of one change; `changes` maps a field's wire name to [before, after].

    Rows are only added, and each is linked to the one before; a trigger refuses the rest.
    """

    operator = models.ForeignKey(
        Operator, null=True, on_delete=models.PROTECT, related_name="audit_entries", db_index=False
    )
    # What was changed where it is not the operator itself, such as a rate sheet, a destination prefix or a user.
    object_type = models.CharField(max_length=20, choices=AuditObject, blank=True, default="", db_default="")
    object_id = models.CharField(max_length=255, blank=True, default="", db_default="")
    version = models.PositiveBigIntegerField(
        null=True, help_text="The version of what was changed, after the change; none where it counts none."
    )
    action = models.CharField(max_length=20, choices=AuditAction)
    actor = models.CharField(max_length=255)
    source = models.CharField(max_length=10)
    reason = models.TextField(blank=True, default="")
    changes = models.JSONField(default=dict, encoder=DjangoJSONEncoder)
    trace_id = models.CharField(max_length=32, blank=True, default="")
    at = models.DateTimeField()

    class Meta(Chained.Meta):
        verbose_name_plural = "audit entries"
        ordering = ("-id",)
        indexes = (
            # An operator's history, newest first.
            models.Index(fields=("operator", "-id"), name="audit_by_operator"),
        )

    def __str__(self) -> str:
        return f"{self.action} by {self.actor}"
