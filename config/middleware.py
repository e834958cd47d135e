"""What every request gets: an id and an access line, headers, probes for any host, an honest answer in an outage."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable
from typing import Any, Final

import structlog
from django.http import HttpRequest, HttpResponse, HttpResponseBase, UnreadablePostError
from django.utils.functional import LazyObject, empty

from config import probes
from config.outages import is_outage, reason, respond
from config.problems import bad_request
from config.telemetry import request_span_ids
from operators.api.peers import Peer

GetResponse = Callable[[HttpRequest], HttpResponseBase]
log = structlog.stdlib.get_logger("config.access")

REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{8,128}")
UNREMARKABLE: Final = ("/health/", "/metrics", "/static/")
LONGEST_PATH: Final = 500


class RequestContextMiddleware:
    """Give the request an id, which its log lines and its answer carry, and write one access line."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        asked = request.META.get("HTTP_X_REQUEST_ID", "")
        request_id = asked if REQUEST_ID.fullmatch(asked) else str(uuid.uuid4())
        request.request_id = request_id  # type: ignore[attr-defined]  # config.problems shows it
        started = time.perf_counter()
        with structlog.contextvars.bound_contextvars(requestId=request_id):
            response = self.get_response(request)
            response["X-Request-ID"] = request_id
            log.log(
                level(request, response),
                "request",
                method=request.method,
                path=request.path_info[:LONGEST_PATH],
                status=response.status_code,
                durationMs=round((time.perf_counter() - started) * 1000, 1),
                **known_user(request),
                **request_span_ids(request),
            )
        return response


def level(request: HttpRequest, response: HttpResponseBase) -> int:
    if response.status_code >= 500:
        return 30
    return 10 if request.path_info.startswith(UNREMARKABLE) else 20


def known_user(request: HttpRequest) -> dict[str, Any]:
    """Name the user if the view has asked for one; asking now could cost a query, or fail."""
    user: Any = request.__dict__.get("user")
    if isinstance(user, LazyObject) and user.__dict__.get("_wrapped", empty) is empty:
        return {}
    if not getattr(user, "is_authenticated", False):
        return {}
    if isinstance(user, Peer):
        return {"caller": user.name, "identity": user.identity}
    return {"adminId": user.get_username()}


class SecurityHeadersMiddleware:
    """Add to every answer, errors, redirects and static files included, the headers that Django leaves out."""

    HEADERS: Final = {
        "X-Content-Type-Options": "nosniff",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Embedder-Policy": "require-corp",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Cache-Control": "no-store",
    }
    NOTHING_ALLOWED: Final = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        for name, value in self.HEADERS.items():
            response.headers.setdefault(name, value)
        if response.headers.get("Content-Type", "").startswith("text/html"):
            # Redirects and refusals of the middleware outside django-csp's.
            response.headers.setdefault("Content-Security-Policy", self.NOTHING_ALLOWED)
        return response


class ProbesMiddleware:
    """Answer probes before anything looks at the Host header: the kubelet sends the pod's address."""

    VIEWS: Final = {"/health/live": probes.live, "/health/ready": probes.ready, "/metrics": probes.metrics}

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        view = self.VIEWS.get(request.path_info)
        if view is None:
            return self.get_response(request)
        response = view(request)
        response["Content-Length"] = str(len(response.content))  # CommonMiddleware's work
        return response


class StoresAwayMiddleware:
    """Answer 503 instead of 500 when a view met an outage, and 400 when its caller sent half of what it announced.

    What fails in other middleware comes to handler500.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if isinstance(exception, UnreadablePostError):
            return bad_request(request, exception)
        if not is_outage(exception):
            return None
        log.warning(f"outage: {reason(exception)}")
        return respond(request, exception)
