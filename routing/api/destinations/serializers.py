"""What the API shows of a destination prefix, and what it takes."""

# ruff: noqa: N815 - the attributes are the wire names

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, cast

from drf_spectacular.utils import extend_schema_serializer
from rest_framework import serializers

from operators.api.fields import MomentField, StrictSerializer, TextField
from routing.api.rules.fields import CodeField
from routing.destinations import DestinationValues
from routing.models import DestinationPrefix
from routing.models.destination import Origin


class DestinationSerializer(serializers.Serializer[DestinationPrefix]):
    """A number range: the country, and as far as known the network, that its numbers belong to."""

    prefixId = serializers.UUIDField(source="id")
    prefix = serializers.CharField()
    country = CodeField(allow_null=True, help_text="ISO 3166-1 alpha-2; null for ranges that belong to none.")
    network = serializers.CharField(help_text="Empty where it is not known.")
    mcc = CodeField(allow_null=True)
    mnc = CodeField(allow_null=True)
    origin = serializers.ChoiceField(
        choices=Origin.values, help_text="REFERENCE rows follow the reference data; STAFF rows stay as they are."
    )
    version = serializers.IntegerField(help_text="The ETag without its quotes.")
    updatedBy = serializers.CharField(source="updated_by")
    updatedAt = MomentField(source="updated_at")


@extend_schema_serializer(component_name="DestinationPrefix")
class DestinationInput(StrictSerializer):
    """What callers may set."""

    prefix = TextField(help_text="+ and 1 to 15 digits, the first 1 to 9 (E.164).")
    country = TextField(required=False, allow_null=True, allow_blank=False, help_text="ISO 3166-1 alpha-2, or null.")
    network = TextField(required=False, help_text="At most 200 characters.")
    mcc = TextField(required=False, allow_null=True, allow_blank=False, help_text="3 digits (E.212), or null.")
    mnc = TextField(
        required=False, allow_null=True, allow_blank=False, help_text="2 or 3 digits (E.212), only beside an mcc."
    )

    read_only_names: ClassVar[frozenset[str]] = frozenset(DestinationSerializer().fields)


@extend_schema_serializer(component_name="DestinationPrefix")
class DestinationPatch(DestinationInput):
    """Any part of what callers may set."""


def destination_values(validated: Mapping[str, Any]) -> DestinationValues:
    """Name what goes into columns, where nothing is an empty text."""
    return cast(DestinationValues, {name: "" if value is None else value for name, value in validated.items()})
