"""The operator: a mobile network operator or aggregator, reached over one SMPP v3.4 bind."""

from __future__ import annotations

import uuid
from contextlib import suppress
from decimal import Decimal
from typing import Final, Self

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.core.exceptions import ValidationError
from django.core.validators import MaxLengthValidator, MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower

from operators import validators
from operators.errors import OperatorNotFound
from operators.fields import VaultCredentialField


class BindType(models.TextChoices):
    TRANSCEIVER = "TRANSCEIVER"
    TRANSMITTER = "TRANSMITTER"
    RECEIVER = "RECEIVER"


class EnforcementMode(models.TextChoices):
    HARD_REJECT = "HARD_REJECT"
    SOFT_THROTTLE = "SOFT_THROTTLE"


class Status(models.TextChoices):
    INACTIVE = "INACTIVE"
    ACTIVE = "ACTIVE"
    SUSPENDED = "SUSPENDED"


class HealthState(models.TextChoices):
    UNKNOWN = "UNKNOWN"
    HEALTHY = "HEALTHY"
    DEGRADED = "DEGRADED"
    UNHEALTHY = "UNHEALTHY"


STATUS_MOVES: Final[dict[str, frozenset[str]]] = {
    Status.INACTIVE: frozenset({Status.ACTIVE}),
    Status.ACTIVE: frozenset({Status.SUSPENDED, Status.INACTIVE}),
    Status.SUSPENDED: frozenset({Status.ACTIVE, Status.INACTIVE}),
}


class OperatorQuerySet(models.QuerySet["Operator"]):
    def live(self) -> Self:
        """Leave out what is deleted."""
        return self.filter(deleted_at=None)

    def find(self, operator_id: uuid.UUID) -> Operator:
        """Return one that is not deleted; raises OperatorNotFound."""
        operator = self.live().filter(pk=operator_id).first()
        if operator is None:
            raise OperatorNotFound
        return operator

    def search(self, text: str) -> Self:
        """Match any part of name, host or system_id, whatever the case, or a whole tag as it is written."""
        if not (text := text.strip()):
            return self
        return self.filter(
            # Hosts are stored in lower case.
            Q(name__icontains=text)
            | Q(host__contains=text.lower())
            | Q(system_id__icontains=text)
            | Q(tags__contains=[text])
        )

    def same_bind(self, *, host: str, port: int, system_id: str) -> Self:
        return self.live().filter(host=host, port=port, system_id=system_id)

    def same_name(self, name: str) -> Self:
        return self.live().alias(lower_name=Lower("name")).filter(lower_name=Lower(models.Value(name)))


class Operator(models.Model):
    """Where and how to bind, how fast to send, and in which state the operator is; never the password itself.

    Only operators.actions writes it: each change raises `version`, leaves an audit entry and an event.
    """

    id = models.UUIDField("operator ID", primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=128, validators=[validators.validate_name])
    host = models.CharField(
        max_length=253,
        validators=[validators.validate_host],
        help_text="Hostname or IP address; no scheme, port or path.",
    )
    port = models.PositiveIntegerField(default=2775, validators=[MinValueValidator(1), MaxValueValidator(65535)])
    system_id = models.CharField(
        "system_id", max_length=15, validators=[validators.validate_system_id], help_text="1 to 15 ASCII characters."
    )
    system_type = models.CharField(
        "system_type", max_length=12, blank=True, default="", validators=[validators.validate_system_type]
    )
    bind_type = models.CharField(max_length=11, choices=BindType, default=BindType.TRANSCEIVER)
    use_tls = models.BooleanField("TLS", default=False)
    max_tps = models.PositiveIntegerField(
        "max TPS", validators=[MinValueValidator(1)], help_text="Messages per second that the carrier allows."
    )
    burst_multiplier = models.DecimalField(
        max_digits=6,
        decimal_places=2,
        default=Decimal("1.50"),
        validators=[MinValueValidator(Decimal("1.00"))],
        help_text="Short bursts may reach this multiple of the limit.",
    )
    enforcement_mode = models.CharField(
        "on limit", max_length=13, choices=EnforcementMode, default=EnforcementMode.HARD_REJECT
    )
    status = models.CharField(max_length=9, choices=Status, default=Status.INACTIVE, editable=False)
    health_state = models.CharField(
        "health", max_length=9, choices=HealthState, default=HealthState.UNKNOWN, editable=False
    )
    version = models.PositiveBigIntegerField(default=1, editable=False)
    password = VaultCredentialField(
        path="ops/operators/{pk}/credentials",
        key="password",
        version_field="credential_version",
        stored_with=("system_id",),
    )
    credential_version = models.PositiveIntegerField(editable=False)
    # What staff can go back to; null until the first rotation.
    credential_previous_version = models.PositiveIntegerField(null=True, editable=False)
    credential_rotated_at = models.DateTimeField(editable=False)
    backup_operator = models.ForeignKey(
        "self",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="backed_up_operators",
        help_text="Takes over when this operator's bind is lost.",
    )
    notes = models.TextField(blank=True, default="", max_length=10_000, validators=[MaxLengthValidator(10_000)])
    contacts = ArrayField(models.CharField(max_length=200), blank=True, default=list, size=50)
    tags = ArrayField(models.CharField(max_length=50), blank=True, default=list, size=50)
    created_by = models.CharField(max_length=255, editable=False)
    updated_by = models.CharField(max_length=255, editable=False)
    created_at = models.DateTimeField(editable=False)
    updated_at = models.DateTimeField(editable=False)
    deleted_at = models.DateTimeField(null=True, editable=False)

    objects = OperatorQuerySet.as_manager()

    class Meta:
        ordering = ("name", "id")
        permissions = (
            ("change_operator_status", "Can activate, suspend and deactivate operators"),
            ("rotate_credential", "Can give an operator a new password"),
            ("revert_credential", "Can go back to an operator's previous password"),
            ("restore_operator", "Can restore a deleted operator"),
        )
        indexes = (
            # The console's and the API's list: what is not deleted, by name.
            models.Index(fields=("name", "id"), condition=Q(deleted_at=None), name="operator_live_by_name"),
            # The list filtered by state.
            models.Index(
                fields=("status", "health_state"), condition=Q(deleted_at=None), name="operator_live_by_state"
            ),
            # The list filtered by a tag.
            GinIndex(fields=("tags",), name="operator_tags"),
            # GET /operators?ordering=-updatedAt.
            models.Index(fields=("-updated_at", "id"), name="operator_by_update"),
        )
        constraints = (
            models.UniqueConstraint(
                Lower("name"),
                condition=Q(deleted_at=None),
                name="operator_unique_name",
                violation_error_message="Another operator already has this name.",
            ),
            models.UniqueConstraint(
                fields=("host", "port", "system_id"),
                condition=Q(deleted_at=None),
                name="operator_unique_bind",
                violation_error_message="Another operator already has this host, port and system_id.",
            ),
            models.CheckConstraint(
                condition=Q(name__regex=r"^\S(.*\S)?$"),
                name="operator_name_trimmed",
                violation_error_message="The name has 1 to 128 characters and no spaces around it.",
            ),
            models.CheckConstraint(
                condition=Q(port__range=(1, 65535)),
                name="operator_port_range",
                violation_error_message="The port lies between 1 and 65535.",
            ),
            models.CheckConstraint(
                condition=Q(system_id__regex=r"^[\x20-\x7e]{1,15}$"),
                name="operator_system_id_ascii",
                violation_error_message="The system_id has 1 to 15 printable ASCII characters.",
            ),
            models.CheckConstraint(
                condition=Q(system_type__regex=r"^[\x20-\x7e]{0,12}$"),
                name="operator_system_type_ascii",
                violation_error_message="The system_type has at most 12 printable ASCII characters.",
            ),
            models.CheckConstraint(condition=Q(bind_type__in=BindType.values), name="operator_bind_type_known"),
            models.CheckConstraint(
                condition=Q(max_tps__gte=1),
                name="operator_max_tps_positive",
                violation_error_message="maxTps is at least 1.",
            ),
            models.CheckConstraint(
                condition=Q(burst_multiplier__gte=Decimal("1.00")),
                name="operator_burst_at_least_one",
                violation_error_message="burstMultiplier is at least 1.00.",
            ),
            models.CheckConstraint(
                condition=Q(enforcement_mode__in=EnforcementMode.values), name="operator_enforcement_mode_known"
            ),
            models.CheckConstraint(condition=Q(status__in=Status.values), name="operator_status_known"),
            models.CheckConstraint(
                condition=Q(health_state__in=HealthState.values), name="operator_health_state_known"
            ),
            models.CheckConstraint(
                condition=Q(deleted_at=None) | Q(status=Status.INACTIVE), name="operator_deleted_is_inactive"
            ),
            models.CheckConstraint(condition=Q(version__gte=1), name="operator_version_positive"),
            models.CheckConstraint(condition=Q(credential_version__gte=1), name="operator_credential_version_positive"),
            models.CheckConstraint(
                condition=~Q(backup_operator=models.F("id")),
                name="operator_not_its_own_backup",
                violation_error_message="An operator cannot be its own backup.",
            ),
        )

    def __str__(self) -> str:
        return self.name

    @property
    def is_deleted(self) -> bool:
        return self.deleted_at is not None

    @property
    def status_moves(self) -> frozenset[str]:
        """Name the states that this operator may move to now; none once it is deleted."""
        return frozenset() if self.is_deleted else STATUS_MOVES[self.status]

    def normalize(self) -> None:
        """Bring values to the form in which they are stored and compared; wrong ones stay for `clean_fields`."""
        self.name = self.name.strip()
        self.system_id = self.system_id.strip()
        self.system_type = self.system_type.strip()
        with suppress(ValidationError):
            self.host = validators.normalize_host(self.host)
        self.contacts = [text for contact in self.contacts if (text := contact.strip())]
        self.tags = list(dict.fromkeys(text for tag in self.tags if (text := tag.strip())))

    def clean(self) -> None:
        self.normalize()
