"""The OpenAPI description over HTTP, and a viewer for it that loads nothing from outside."""

from __future__ import annotations

from django.views.generic import TemplateView
from drf_spectacular.views import SpectacularAPIView


class SchemaView(SpectacularAPIView):
    """Serve the description as YAML or JSON, by Accept or `?format=`."""


class DocsView(TemplateView):
    """Show the description with Swagger UI from our own static files."""

    template_name = "config/docs.html"


class DocsScriptView(TemplateView):
    """Start the viewer from a file of its own, for the page may hold no inline script."""

    template_name = "config/docs.js"
    content_type = "text/javascript; charset=utf-8"
