"""Destination prefixes: which country, and as far as known which network, a number range belongs to."""

from __future__ import annotations

import uuid
from typing import Final, Self

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q

from operators import validators

LONGEST_PREFIX: Final = 15  # digits; ITU-T E.164


def prefixes_of(number: str) -> list[str]:
    """List every prefix of a number or prefix, the longest first: +447 gives +447, +44, +4."""
    return [number[:end] for end in range(len(number), 1, -1)]


class Origin(models.TextChoices):
    REFERENCE = "REFERENCE", "reference data"
    STAFF = "STAFF", "staff"


class DestinationPrefixQuerySet(models.QuerySet["DestinationPrefix"]):
    def covering(self, number: str) -> Self:
        """Keep what a number or prefix lies in, itself included; the longest comes first."""
        return self.filter(prefix__in=prefixes_of(number)).order_by("-prefix")

    def within(self, prefix: str) -> Self:
        """Keep what lies inside a prefix, without itself."""
        return self.filter(prefix__startswith=prefix).exclude(prefix=prefix)


class DestinationPrefix(models.Model):
    """One number range; reference data that a reload brings up to date, except where staff have changed it."""

    id = models.UUIDField("prefix ID", primary_key=True, default=uuid.uuid4, editable=False)
    # In the C collation an index serves equality, order and "starts with" alike.
    prefix = models.CharField(
        max_length=LONGEST_PREFIX + 1,
        unique=True,
        db_collation="C",
        validators=[validators.validate_prefix],
        help_text="+ and 1 to 15 digits (E.164).",
    )
    country = models.CharField(
        max_length=2, blank=True, default="", help_text="ISO 3166-1 alpha-2; empty for ranges that belong to none."
    )
    network = models.CharField(max_length=200, blank=True, default="", help_text="The network's name, where known.")
    mcc = models.CharField("MCC", max_length=3, blank=True, default="", help_text="3 digits (E.212), or empty.")
    mnc = models.CharField(
        "MNC", max_length=3, blank=True, default="", help_text="2 or 3 digits (E.212), only beside an MCC."
    )
    origin = models.CharField(max_length=9, choices=Origin, default=Origin.STAFF, editable=False)
    version = models.PositiveIntegerField(default=1, editable=False)
    updated_by = models.CharField(max_length=255, editable=False)
    updated_at = models.DateTimeField(editable=False)

    objects = DestinationPrefixQuerySet.as_manager()

    class Meta:
        ordering = ("prefix",)
        verbose_name_plural = "destination prefixes"
        indexes = (
            # The prefixes of a country, and of a network within it: coverage reports, rows by MCC and MNC.
            models.Index(fields=("country", "prefix"), name="destination_by_country"),
            models.Index(fields=("mcc", "mnc"), condition=~Q(mcc=""), name="destination_by_network"),
        )
        constraints = (
            models.CheckConstraint(
                condition=Q(prefix__regex=r"^\+[1-9][0-9]{0,14}$"),
                name="destination_prefix_e164",
                violation_error_message="A prefix is + and 1 to 15 digits, the first one 1 to 9 (E.164).",
            ),
            models.CheckConstraint(
                condition=Q(country__regex=r"^([A-Z]{2})?$"),
                name="destination_country_iso3166",
                violation_error_message="The country is a two-letter code of ISO 3166-1, such as GB.",
            ),
            models.CheckConstraint(
                condition=Q(mcc__regex=r"^([0-9]{3})?$") & Q(mnc__regex=r"^([0-9]{2,3})?$") & (~Q(mcc="") | Q(mnc="")),
                name="destination_network_e212",
                violation_error_message="An MCC has 3 digits, an MNC 2 or 3 and only beside an MCC (E.212).",
            ),
            models.CheckConstraint(condition=Q(origin__in=Origin.values), name="destination_origin_known"),
        )

    def __str__(self) -> str:
        return self.prefix

    def clean(self) -> None:
        """Check what spans several fields; raises ValidationError."""
        check_network(self.mcc, self.mnc)


def check_network(mcc: str, mnc: str) -> None:
    """Check MCC and MNC together, empty meaning none; raises ValidationError by field (ITU-T E.212)."""
    problems = {}
    for name, value, validate in (("mcc", mcc, validators.validate_mcc), ("mnc", mnc, validators.validate_mnc)):
        if value:
            try:
                validate(value)
            except ValidationError as error:
                problems[name] = error
    if mnc and not mcc:
        problems.setdefault("mnc", ValidationError("An MNC needs an MCC beside it (E.212).", code="mnc"))
    if problems:
        raise ValidationError(problems)
