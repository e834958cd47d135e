"""Who was given which operator's password, and when; never the password itself."""

from __future__ import annotations

from django.db import models

from operators.models.chained import Chained


class ReadResult(models.TextChoices):
    """The results of ops_credentials_read_total."""

    OK = "ok"
    NOT_FOUND = "not_found"
    VAULT_ERROR = "vault_error"


class CredentialRead(Chained):
    """Tell of one request for a password; written before the answer leaves, by audit.record_credential_read alone."""

    # Not a foreign key: its check would wait for whoever has the operator locked, and a connector may ask for an
    # operator that never was.
    operator_id = models.UUIDField("operator ID")
    credential_version = models.PositiveIntegerField(
        null=True, help_text="The version that was asked for; none where there is no such operator."
    )
    caller = models.CharField(max_length=64, help_text="The service behind the certificate.")
    identity = models.CharField(max_length=2048, help_text="The certificate's SPIFFE or DNS name.")
    result = models.CharField(max_length=16, choices=ReadResult)
    trace_id = models.CharField(max_length=32, blank=True, default="")
    at = models.DateTimeField()

    class Meta(Chained.Meta):
        ordering = ("-id",)
        indexes = (
            # Who read one operator's password, newest first.
            models.Index(fields=("operator_id", "-id"), name="credential_read_by_operator"),
            # What one service read, newest first.
            models.Index(fields=("caller", "-id"), name="credential_read_by_caller"),
        )

    def __str__(self) -> str:
        return f"{self.operator_id} read by {self.caller}"
