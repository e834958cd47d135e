"""Spans: one per request, the ones that operators.tracing opens, and what of them may leave the process."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, Final

from django.conf import settings
from django.http import HttpRequest
from opentelemetry import trace
from opentelemetry.instrumentation.django import DjangoInstrumentor
from opentelemetry.sdk.environment_variables import OTEL_TRACES_SAMPLER
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased, Sampler
from opentelemetry.trace import Span, SpanContext, Status

SPAN_CONTEXT_KEY: Final = "ops.span_context"
INSIDE: Final = "django.contrib.sessions.middleware.SessionMiddleware"
# Query strings, addresses, headers and the texts of exceptions may quote what a caller sent.
ALLOWED_ATTRIBUTES: Final = frozenset(
    {
        "ops.operator_id",
        "ops.action",
        "vault.path",
        "http.request.method",
        "http.response.status_code",
        "http.route",
        "url.scheme",
        "network.protocol.version",
        "messaging.system",
        "messaging.destination.name",
        "messaging.message.id",
        "error.type",
        "exception.type",
    }
)


def configure() -> None:
    """Set up the process's tracer once; spans are exported only where OTEL_EXPORTER_OTLP_ENDPOINT is set.

    The sampler follows OTEL_TRACES_SAMPLER and OTEL_TRACES_SAMPLER_ARG; without them it takes the parent's decision,
    else records what is exported. What is not recorded has its ids all the same.
    """
    if isinstance(trace.get_tracer_provider(), TracerProvider):
        return
    provider = TracerProvider(
        sampler=sampler(is_exporting=bool(settings.OTLP_ENDPOINT)),
        resource=Resource.create(
            {
                "service.name": settings.SERVICE_NAME,
                "ops.process": settings.PROCESS_NAME,
                "deployment.environment.name": settings.ENVIRONMENT,
            }
        ),
    )
    if settings.OTLP_ENDPOINT:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        provider.add_span_processor(BatchSpanProcessor(AllowListExporter(OTLPSpanExporter(timeout=5))))
    trace.set_tracer_provider(provider)
    if settings.LISTENER == "internal":
        return  # config.serverspan
    # The stable names of HTTP attributes; the library reads the choice from the environment.
    os.environ.setdefault("OTEL_SEMCONV_STABILITY_OPT_IN", "http")
    DjangoInstrumentor().instrument(
        # Inside what answers probes, static files and redirects, and what gives a refused host its headers.
        middleware_position=settings.MIDDLEWARE.index(INSIDE),
        request_hook=remember_span,
    )


def sampler(*, is_exporting: bool) -> Sampler | None:
    """Choose who decides which traces are recorded; None is the SDK's own choice, by the environment."""
    return None if is_exporting or os.environ.get(OTEL_TRACES_SAMPLER) else ParentBased(ALWAYS_OFF)


def remember_span(span: Span, request: HttpRequest) -> None:
    request.META[SPAN_CONTEXT_KEY] = span.get_span_context()


def request_span_ids(request: HttpRequest) -> dict[str, str]:
    """Return the ids of the request's span for the access line, which is written after the span has ended."""
    context = request.META.get(SPAN_CONTEXT_KEY)
    if not isinstance(context, SpanContext) or not context.is_valid:
        return {}
    return {"traceId": format(context.trace_id, "032x"), "spanId": format(context.span_id, "016x")}


class AllowListExporter(SpanExporter):
    """Pass spans on with the attributes that we know, whatever the instrumentation put into them."""

    def __init__(self, inner: SpanExporter) -> None:
        self.inner = inner

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return self.inner.export([reduced(span) for span in spans])

    def shutdown(self) -> None:
        self.inner.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self.inner.force_flush(timeout_millis)


def reduced(span: ReadableSpan) -> ReadableSpan:
    return ReadableSpan(
        name=span.name,
        context=span.get_span_context(),
        parent=span.parent,
        resource=span.resource,
        attributes=allowed(span.attributes),
        events=[Event(event.name, allowed(event.attributes), event.timestamp) for event in span.events],
        links=span.links,
        kind=span.kind,
        status=Status(span.status.status_code),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def allowed(attributes: Mapping[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in (attributes or {}).items() if name in ALLOWED_ATTRIBUTES}
