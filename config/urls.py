"""Every address of the console and the admin API."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

from config import outages, probes, problems
from config.openapi import DocsScriptView, DocsView, SchemaView
from health.api import urls as health_urls
from routing.admin import reports as routing_reports
from routing.admin import simulator as routing_simulator
from routing.api import urls as routing_urls

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("admin/routing/reports/", include(routing_reports.urlpatterns)),
    path("admin/routing/simulator/", include(routing_simulator.urlpatterns)),
    path("admin/", admin.site.urls),
    path("v1/admin/", include("operators.api.urls")),
    path("v1/admin/", include(health_urls.admin)),
    path("v1/admin/", include(routing_urls.admin)),
    path("v1/schema", SchemaView.as_view(), name="schema"),
    path("v1/docs", DocsView.as_view(), name="docs"),
    path("v1/docs.js", DocsScriptView.as_view(), name="docs-script"),
    path("health/live", probes.live, name="live"),
    path("health/ready", probes.ready, name="ready"),
    path("metrics", probes.metrics, name="metrics"),
]

handler400 = problems.bad_request
handler403 = problems.forbidden
handler404 = problems.not_found
handler500 = outages.server_error
