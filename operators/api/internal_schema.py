"""How the OpenAPI description tells of reading a password."""

# ruff: noqa: N815 - the attributes are the wire names

from __future__ import annotations

from typing import Any, Final

from rest_framework import serializers

from operators.api.examples import BACKUP_ID, OPERATOR_ID, TPS_LIMIT, Problem
from operators.api.schema import answer_header, operation
from operators.api.serializers import TpsLimitSerializer
from operators.models import BindType

ADDRESS: Final = f"/v1/internal/operators/{OPERATOR_ID}/credentials"


class BindCredentialsSerializer(serializers.Serializer[Any]):
    """All that a bind needs."""

    operatorId = serializers.UUIDField()
    host = serializers.CharField()
    port = serializers.IntegerField()
    systemId = serializers.CharField()
    password = serializers.CharField(help_text="For this bind alone: never stored, logged or passed on.")
    bindType = serializers.ChoiceField(choices=BindType.values)
    useTls = serializers.BooleanField()
    tpsLimit = TpsLimitSerializer()
    backupOperatorId = serializers.UUIDField(allow_null=True)
    version = serializers.IntegerField(help_text="The operator's; an event with a higher one may bring a new password.")


CREDENTIALS: Final[dict[str, Any]] = {
    "operatorId": OPERATOR_ID,
    "host": "smpp.example.net",
    "port": 2775,
    "systemId": "exmob01",
    "password": "8letters",
    "bindType": "TRANSCEIVER",
    "useTls": True,
    "tpsLimit": TPS_LIMIT,
    "backupOperatorId": BACKUP_ID,
    "version": 7,
}
RATE_LIMITED: Final = Problem(
    "RATE_LIMITED",
    429,
    "RATE_LIMITED",
    "Too many requests",
    "Request was throttled. Expected available in 1 second.",
    instance=ADDRESS,
)
read_credentials = operation(
    "readCredentials",
    "Read what is needed to bind",
    "The password of exactly the version that the operator names now, whatever its status. Every call is counted and "
    "written down with the caller's name. 503 VAULT_UNAVAILABLE comes within 3 s and says nothing about the operator.",
    answer=BindCredentialsSerializer,
    example=CREDENTIALS,
    parameters=(answer_header("Cache-Control", "`no-store`.", 200),),
    errors=("NOT_FOUND", RATE_LIMITED, "VAULT_UNAVAILABLE"),
)
