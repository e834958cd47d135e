"""Every address of the internal API."""

from __future__ import annotations

from django.urls import include, path

from config import outages, probes, problems
from config.openapi import InternalSchemaView
from health.api import urls as health_urls
from operators.api import urls as operator_urls
from routing.api import urls as routing_urls

urlpatterns = [
    path("v1/internal/", include(operator_urls.internal)),
    path("v1/internal/", include(health_urls.internal)),
    path("v1/internal/", include(routing_urls.internal)),
    path("v1/internal/schema", InternalSchemaView.as_view(), name="internal-schema"),
    path("health/live", probes.live, name="live"),
    path("health/ready", probes.ready, name="ready"),
    path("metrics", probes.metrics, name="metrics"),
]

handler400 = problems.bad_request
handler403 = problems.forbidden
handler404 = problems.not_found
handler500 = outages.server_error
