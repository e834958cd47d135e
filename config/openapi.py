"""The OpenAPI description over HTTP, and a viewer for it that loads nothing from outside."""

from __future__ import annotations

from functools import cache
from typing import Any

from django.views.generic import TemplateView
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularAPIView
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from config.schema import Generator, InternalGenerator
from operators.api.peers import InternalView, Service


@cache
def description(generator: type[Generator]) -> dict[str, Any]:
    """Make the description once per process: it takes most of a second, and anybody may ask for it."""
    made: dict[str, Any] = generator().get_schema(public=True)
    return made


class SchemaView(APIView):
    """Serve the description as YAML or JSON, by Accept or `?format=`."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    renderer_classes = SpectacularAPIView.renderer_classes

    @extend_schema(exclude=True)
    def get(self, request: Request) -> Response:
        return Response(description(Generator))


class InternalSchemaView(InternalView):
    """Serve the internal API's description to whoever may call any of it."""

    callers = frozenset(Service)
    renderer_classes = SpectacularAPIView.renderer_classes

    @extend_schema(exclude=True)
    def get(self, request: Request) -> Response:
        return Response(description(InternalGenerator))


class DocsView(TemplateView):
    """Show the description with Swagger UI from our own static files."""

    template_name = "config/docs.html"


class DocsScriptView(TemplateView):
    """Start the viewer from a file of its own, for the page may hold no inline script."""

    template_name = "config/docs.js"
    content_type = "text/javascript; charset=utf-8"
