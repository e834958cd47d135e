from __future__ import annotations

import pytest
from django.conf import settings
from django.db import OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from django.test import Client
from django.urls import path
from prometheus_client import REGISTRY
from pytest_django import Settings

pytestmark = pytest.mark.django_db


def answer(request: HttpRequest) -> HttpResponse:
    return HttpResponse("ok", status=201)


def away(request: HttpRequest) -> HttpResponse:
    raise OperationalError("server closed the connection unexpectedly")


def missing(request: HttpRequest) -> HttpResponse:
    raise Http404


urlpatterns = [
    path("answer", answer, name="answer"),
    path("away", away, name="away"),
    path("missing", missing, name="missing"),
]


@pytest.fixture
def internal(settings: Settings) -> Client:
    settings.ROOT_URLCONF = __name__
    settings.MIDDLEWARE = settings.INTERNAL_MIDDLEWARE
    return Client(raise_request_exception=False)


def answered(view: str, status: int, method: str = "GET") -> float:
    labels = {"view": view, "status": str(status), "method": method}
    return REGISTRY.get_sample_value("django_http_responses_total_by_status_view_method_total", labels) or 0.0


def timed(view: str) -> float:
    labels = {"view": view, "method": "GET"}
    return REGISTRY.get_sample_value("django_http_requests_latency_seconds_by_view_method_count", labels) or 0.0


def raised(view: str) -> float:
    return REGISTRY.get_sample_value("django_http_exceptions_total_by_view_total", {"view": view}) or 0.0


@pytest.mark.parametrize(("name", "status", "exceptions"), [("answer", 201, 0), ("away", 503, 1), ("missing", 404, 1)])
def test_it_counts_and_times_answers_by_view(internal: Client, name: str, status: int, exceptions: int) -> None:
    before = answered(name, status), timed(name), raised(name)
    for _ in range(2):
        assert internal.get(f"/{name}").status_code == status
    assert (answered(name, status), timed(name), raised(name)) == (
        before[0] + 2,
        before[1] + 2,
        before[2] + 2 * exceptions,
    )


def test_it_counts_what_reaches_no_view_and_no_method_of_a_callers_choice(internal: Client) -> None:
    nowhere = answered("<unnamed view>", 404), answered("answer", 201, "<invalid method>")
    internal.get("/nowhere")
    internal.generic("BREW", "/answer")
    assert (answered("<unnamed view>", 404), answered("answer", 201, "<invalid method>")) == (
        nowhere[0] + 1,
        nowhere[1] + 1,
    )


def test_it_leaves_probes_out(internal: Client) -> None:
    before = answered("<unnamed view>", 200)
    assert internal.get("/health/live").status_code == 200
    assert answered("<unnamed view>", 200) == before


def test_it_is_the_internal_listeners() -> None:
    assert "config.requestmetrics.RequestMetricsMiddleware" in settings.INTERNAL_MIDDLEWARE
    assert "config.requestmetrics.RequestMetricsMiddleware" not in settings.CONSOLE_MIDDLEWARE
