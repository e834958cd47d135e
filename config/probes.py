"""Liveness, readiness and metrics, for the cluster alone; no session, no host check, no redirect (ProbesMiddleware)."""

from __future__ import annotations

import os

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from config.readiness import readiness
from operators import backlog


@require_safe
def live(_request: HttpRequest) -> HttpResponse:
    """Tell that this process answers, whatever the stores do: restarting it would mend none of them."""
    return JsonResponse({"status": "ok"})


@require_safe
def ready(request: HttpRequest) -> HttpResponse:
    """Answer 200 when all that we depend on answers, otherwise 503 with a named reason.

    `?exclude=nats` leaves a check out of the verdict, not out of the answer: a deployment that wants to go on taking
    changes while the outbox keeps the events says so in its probe.
    """
    reasons = readiness.reasons()
    excluded = set(request.GET.getlist("exclude"))
    is_ready = not any(reason for name, reason in reasons.items() if name not in excluded)
    return JsonResponse(
        {
            "status": "ok" if is_ready else "unavailable",
            "checks": {name: {"ok": not reason, "reason": reason} for name, reason in reasons.items()},
        },
        status=200 if is_ready else 503,
    )


@require_safe
def metrics(_request: HttpRequest) -> HttpResponse:
    """Show every metric family of all workers in Prometheus's text format."""
    registry = REGISTRY
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        registry.register(backlog.OutboxBacklogCollector())
    else:
        backlog.register()
    return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)
