"""The internal API's address of passwords; that of operators is routing's, for it may give their rules with them."""

from __future__ import annotations

from functools import lru_cache
from uuid import UUID

from django.conf import settings
from django.http import JsonResponse
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

from operators.api import internal_schema as schema
from operators.api.filters import refuse_unknown
from operators.api.peers import InternalView, Service
from operators.disclosure import disclose_credentials
from operators.ratelimits import TokenBuckets
from operators.wire import wire_value


class CredentialThrottle(BaseThrottle):
    """Count per certificate's name, once the caller was let in."""

    def allow_request(self, request: Request, view: APIView) -> bool:
        assert isinstance(view, InternalView)
        buckets = _buckets(settings.CREDENTIALS_PER_SECOND, settings.CREDENTIALS_BURST)
        self._seconds = buckets.take(view.peer.identity)
        return not self._seconds

    def wait(self) -> float:
        return self._seconds


class OperatorCredentials(InternalView):
    """What smpp-connector asks just before it binds: the only answer of this service with a password in it."""

    callers = frozenset({Service.SMPP_CONNECTOR})
    throttle_classes = (CredentialThrottle,)

    @schema.read_credentials
    def get(self, request: Request, operator_id: UUID) -> JsonResponse:
        refuse_unknown(request, frozenset())
        found = disclose_credentials(operator_id=operator_id, caller=self.peer.name, identity=self.peer.identity)
        operator = found.operator
        return JsonResponse(
            {
                "operatorId": str(operator.pk),
                "host": operator.host,
                "port": operator.port,
                "systemId": operator.system_id,
                "password": found.password.reveal(),
                "bindType": operator.bind_type,
                "useTls": operator.use_tls,
                "tpsLimit": {
                    "maxTps": operator.max_tps,
                    "burstMultiplier": wire_value(operator.burst_multiplier),
                    "enforcementMode": operator.enforcement_mode,
                },
                "backupOperatorId": wire_value(operator.backup_operator_id),
                "version": operator.version,
            },
            headers={"Cache-Control": "no-store"},
        )


@lru_cache(maxsize=1)
def _buckets(per_second: int, burst: int) -> TokenBuckets:
    return TokenBuckets(per_second=per_second, burst=burst)
