from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.trace import SpanContext, SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from config.serverspan import ServerSpanMiddleware
from config.telemetry import sampler

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
    from rest_framework.test import APIClient

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def by_name(spans: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    return {span.name: span for span in spans.get_finished_spans()}


def context(span: ReadableSpan) -> SpanContext:
    found = span.get_span_context()
    assert found is not None
    return found


def parent(span: ReadableSpan) -> int:
    assert span.parent is not None
    return span.parent.span_id


@pytest.mark.django_db
def test_it_makes_one_server_span_per_request_under_the_callers_trace(spans: InMemorySpanExporter) -> None:
    Client().get("/admin/login/?next=/admin/&password=canary", headers={"traceparent": PARENT})
    (span,) = spans.get_finished_spans()
    assert span.name == "GET admin/login/"
    assert span.kind is SpanKind.SERVER
    assert format(context(span).trace_id, "032x") == PARENT.split("-")[1]
    assert dict(span.attributes or {}) == {
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "http.route": "admin/login/",
        "url.scheme": "http",
        "network.protocol.version": "1.1",
    }
    assert span.resource.attributes["service.name"] == "operator-management-service"
    assert span.resource.attributes["ops.process"]


@pytest.mark.django_db
def test_it_makes_the_same_of_a_request_to_the_internal_listener(spans: InMemorySpanExporter) -> None:
    from tests.config.peers import connector

    path = "/v1/internal/operators/00000000-0000-4000-8000-000000000000/credentials"
    answer = connector().get(f"{path}?password=canary", headers={"traceparent": PARENT})
    assert answer.status_code == 400
    (span,) = [each for each in spans.get_finished_spans() if each.kind is SpanKind.SERVER]
    assert span.name == "GET v1/internal/operators/<uuid:operator_id>/credentials"
    assert format(context(span).trace_id, "032x") == PARENT.split("-")[1]
    assert dict(span.attributes or {}) == {
        "http.request.method": "GET",
        "http.response.status_code": 400,
        "http.route": "v1/internal/operators/<uuid:operator_id>/credentials",
        "url.scheme": "http",
        "network.protocol.version": "1.1",
    }
    assert span.status.status_code is StatusCode.UNSET


def test_it_marks_requests_to_the_internal_listener_that_failed(spans: InMemorySpanExporter) -> None:
    def fail(request: HttpRequest) -> HttpResponse:
        middleware.process_exception(request, ValueError("canary"))
        return HttpResponse(status=500)

    middleware = ServerSpanMiddleware(fail)
    middleware(RequestFactory().get("/nowhere"))
    (span,) = spans.get_finished_spans()
    assert (span.name, span.status.status_code) == ("GET", StatusCode.ERROR)
    assert (span.attributes or {})["error.type"] == "500"
    assert [dict(event.attributes or {}) for event in span.events] == [{"exception.type": "ValueError"}]
    assert trace.get_current_span() is trace.INVALID_SPAN


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/health/live", "/metrics", "/static/admin/css/base.css"])
def test_it_makes_no_span_of_probes_metrics_and_static_files(spans: InMemorySpanExporter, path: str) -> None:
    with closing(Client().get(path)) as response:
        assert response.status_code == 200
    assert spans.get_finished_spans() == ()


@pytest.mark.django_db
def test_it_answers_a_foreign_host_with_headers_and_without_a_fault(spans: InMemorySpanExporter) -> None:
    response = Client(headers={"host": "evil.example"}).get("/admin/")
    assert response.status_code == 400
    assert response["X-Request-ID"] and response["Permissions-Policy"]


def test_it_exports_the_type_of_an_exception_and_not_its_text(spans: InMemorySpanExporter) -> None:
    with (
        pytest.raises(ValueError, match="canary"),
        trace.get_tracer("tests").start_as_current_span("fails", attributes={"url.query": "canary", "ops.action": "x"}),
    ):
        raise ValueError("canary")
    (span,) = spans.get_finished_spans()
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description is None
    assert [dict(event.attributes or {}) for event in span.events] == [{"exception.type": "ValueError"}]
    assert "canary" not in span.to_json()
    assert dict(span.attributes or {}) == {"ops.action": "x"}


@pytest.mark.django_db(transaction=True)
def test_it_shows_the_creation_of_an_operator_as_one_trace(api: APIClient, spans: InMemorySpanExporter) -> None:
    body = {
        "name": "Traced",
        "host": "smpp.traced.example",
        "port": 2775,
        "systemId": "traced",
        "bindType": "TRANSCEIVER",
        "tpsLimit": {"maxTps": 10},
        "password": "canary-8",
    }
    response = api.post("/v1/admin/operators", body, format="json")
    assert response.status_code == 201, response.json()
    operator_id = response.json()["operatorId"]
    seen = by_name(spans)
    create = seen["ops.admin.createOperator"]
    assert (create.attributes or {})["ops.operator_id"] == operator_id
    assert (create.attributes or {})["ops.action"] == "create"
    for name in ("ops.vault.writeCredentials", "ops.pg.insertOperator", "ops.outbox.append"):
        assert parent(seen[name]) == context(create).span_id
    path = f"ops/operators/{operator_id}/credentials"
    assert str((seen["ops.vault.writeCredentials"].attributes or {})["vault.path"]).endswith(path)
    assert (seen["ops.pg.insertOperator"].attributes or {})["ops.operator_id"] == operator_id
    (server,) = [span for span in spans.get_finished_spans() if span.kind is SpanKind.SERVER]
    assert parent(create) == context(server).span_id
    assert "canary" not in "".join(span.to_json() for span in spans.get_finished_spans())


@pytest.mark.django_db(transaction=True)
def test_it_shows_the_reading_of_a_password_as_one_trace(spans: InMemorySpanExporter) -> None:
    from operators.models import CredentialRead
    from tests.config.peers import connector
    from tests.factories import make_operator

    operator = make_operator(password="canary-8")
    spans.clear()
    assert connector().get(f"/v1/internal/operators/{operator.pk}/credentials").json()["password"] == "canary-8"
    seen = by_name(spans)
    read, vault = seen["ops.internal.getCredentials"], seen["ops.vault.readCredentials"]
    assert dict(read.attributes or {}) == {"ops.operator_id": str(operator.pk), "ops.action": "read_credentials"}
    assert dict(vault.attributes or {}) == {"vault.path": f"secret/ops/operators/{operator.pk}/credentials"}
    assert parent(vault) == context(read).span_id
    assert CredentialRead.objects.get().trace_id == format(context(read).trace_id, "032x")
    assert "canary" not in "".join(span.to_json() for span in spans.get_finished_spans())


@pytest.mark.django_db(transaction=True)
def test_it_carries_the_trace_into_the_outbox_and_the_audit_trail(api: APIClient) -> None:
    from operators.models import AuditEntry, OutboxEvent
    from tests.factories import make_operator

    with trace.get_tracer("tests").start_as_current_span("outer") as outer:
        operator = make_operator()
    trace_id = format(outer.get_span_context().trace_id, "032x")
    assert OutboxEvent.objects.get(operator_id=operator.id).traceparent.split("-")[1] == trace_id
    assert AuditEntry.objects.get(operator=operator).trace_id == trace_id


def test_it_records_nothing_that_nobody_collects_but_what_a_caller_records(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OTEL_TRACES_SAMPLER")
    tracer = TracerProvider(sampler=sampler(is_exporting=False)).get_tracer("tests")

    root = tracer.start_span("root")
    child = tracer.start_span("child", context=TraceContextTextMapPropagator().extract({"traceparent": PARENT}))

    assert root.get_span_context().is_valid
    assert (root.is_recording(), child.is_recording()) == (False, True)


def test_it_leaves_the_choice_to_the_environment_where_spans_are_exported(monkeypatch: pytest.MonkeyPatch) -> None:
    assert sampler(is_exporting=False) is None  # the tests' environment names one
    monkeypatch.delenv("OTEL_TRACES_SAMPLER")
    assert sampler(is_exporting=True) is None
