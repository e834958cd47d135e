"""What every request gets: an id and an access line, headers, and a plain answer when a store is away."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable

import structlog
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.template import loader

from operators.errors import VaultUnavailable
from operators.metrics import pg_errors

GetResponse = Callable[[HttpRequest], HttpResponseBase]
log = structlog.get_logger("config.access")
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,128}")
QUIET_PATHS = ("/health/", "/metrics", "/static/")


class RequestContextMiddleware:
    """Give the request an id that logs and the answer carry, and write one access line."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        asked = request.headers.get("X-Request-ID", "")
        request_id = asked if REQUEST_ID.fullmatch(asked) else str(uuid.uuid4())
        started = time.perf_counter()
        with structlog.contextvars.bound_contextvars(requestId=request_id):
            response = self.get_response(request)
            response["X-Request-ID"] = request_id
            write = log.debug if request.path.startswith(QUIET_PATHS) else log.info
            write(
                "request",
                method=request.method,
                path=request.path,
                status=response.status_code,
                durationMs=round((time.perf_counter() - started) * 1000, 1),
            )
        return response


class SecurityHeadersMiddleware:
    """Add the headers that Django does not set itself, to every answer."""

    HEADERS = {
        "X-Content-Type-Options": "nosniff",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Embedder-Policy": "require-corp",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Cache-Control": "no-store",
    }

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        for name, value in self.HEADERS.items():
            response.headers.setdefault(name, value)
        return response


class StoresAwayMiddleware:
    """Answer 503 instead of 500 when PostgreSQL or Vault is away."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if isinstance(exception, (OperationalError, InterfaceError)):
            pg_errors.labels("read" if request.method in {"GET", "HEAD"} else "write").inc()
            code, detail = "DATABASE_UNAVAILABLE", "The database does not answer; nothing was changed."
        elif isinstance(exception, VaultUnavailable):
            code, detail = exception.code, str(exception)
        else:
            return None
        response: HttpResponse
        if request.path.startswith("/v1/"):
            response = JsonResponse(
                {"type": "about:blank", "title": "Service unavailable", "status": 503, "code": code, "detail": detail},
                status=503,
                content_type="application/problem+json",
            )
        else:
            response = HttpResponse(loader.render_to_string("503.html", {"detail": detail}), status=503)
        response["Retry-After"] = "5"
        return response
