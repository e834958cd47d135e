"""The internal listener's request metrics: django_prometheus's own, of which only those by view are counted.

Its two middlewares write a dozen numbers a request, most of which are sums of others, and look each up by its labels
anew; together that costs as much as two of the statements of a password's read.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

from django.http import HttpRequest, HttpResponseBase
from django_prometheus.middleware import Metrics

GetResponse = Callable[[HttpRequest], HttpResponseBase]

METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "TRACE", "OPTIONS", "CONNECT", "PATCH"})


class RequestMetricsMiddleware:
    """Count and time what a view, or a refusal before it, answers."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response
        self._metrics = Metrics.get_instance()
        # As many as there are series: views, methods and statuses are few.
        self._series: dict[tuple[str, str, int], tuple[Any, Any]] = {}

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        began = time.perf_counter()
        response = self.get_response(request)
        count, seconds = self._of(view_of(request), method_of(request), response.status_code)
        count.inc()
        seconds.observe(time.perf_counter() - began)
        return response

    def process_exception(self, request: HttpRequest, exception: Exception) -> None:
        self._metrics.exceptions_by_type.labels(type=type(exception).__name__).inc()
        self._metrics.exceptions_by_view.labels(view=view_of(request)).inc()

    def _of(self, view: str, method: str, status: int) -> tuple[Any, Any]:
        found = self._series.get((view, method, status))
        if found is None:
            found = self._series[view, method, status] = (
                self._metrics.responses_by_status_view_method.labels(status=str(status), view=view, method=method),
                self._metrics.requests_latency_by_view_method.labels(view=view, method=method),
            )
        return found


def view_of(request: HttpRequest) -> str:
    match = request.resolver_match
    return (match and match.view_name) or "<unnamed view>"


def method_of(request: HttpRequest) -> str:
    return request.method if request.method in METHODS else "<invalid method>"
