"""Liveness, readiness and metrics, for the cluster alone."""

from __future__ import annotations

import os

from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector


@require_safe
def live(request: HttpRequest) -> HttpResponse:
    """Tell that this process answers, whatever it depends on."""
    return JsonResponse({"status": "ok"})


@require_safe
def ready(request: HttpRequest) -> HttpResponse:
    """Tell whether the stores that this process needs answer."""
    try:
        connection.ensure_connection()
    except DatabaseError as error:
        return JsonResponse(
            {"status": "unavailable", "checks": {"database": {"ok": False, "reason": type(error).__name__}}}, status=503
        )
    return JsonResponse({"status": "ok", "checks": {"database": {"ok": True, "reason": ""}}})


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Show every metric family of all workers in the Prometheus text format."""
    registry = REGISTRY
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)
