from __future__ import annotations

from functools import cache
from typing import Any
from uuid import UUID

import hvac  # noqa: TID251 - it is what the bench compares with
from django.conf import settings
from django.urls import path
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from operators.models import Operator


@cache
def client() -> Any:
    return hvac.Client(url=settings.VAULT_ADDR, token=settings.VAULT_TOKENS["internal"])


class BareCredentials(APIView):
    def get(self, request: Request, operator_id: UUID) -> Response:
        operator = Operator.objects.get(pk=operator_id, deleted_at=None)
        secret = client().secrets.kv.v2.read_secret_version(
            f"ops/operators/{operator_id}/credentials",
            version=operator.credential_version,
            mount_point=settings.VAULT_MOUNT,
            raise_on_deleted_version=True,
        )["data"]["data"]
        return Response(
            {
                "operatorId": operator.pk,
                "host": operator.host,
                "port": operator.port,
                "systemId": operator.system_id,
                "password": secret["password"],
                "bindType": operator.bind_type,
                "useTls": operator.use_tls,
                "tpsLimit": {
                    "maxTps": operator.max_tps,
                    "burstMultiplier": float(operator.burst_multiplier),
                    "enforcementMode": operator.enforcement_mode,
                },
                "backupOperatorId": operator.backup_operator_id,
                "version": operator.version,
            }
        )


urlpatterns = [path("v1/internal/operators/<uuid:operator_id>/credentials", BareCredentials.as_view())]
