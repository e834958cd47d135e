"""Spans of the system of record, and the W3C trace context that events carry."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from uuid import UUID

from opentelemetry import trace
from opentelemetry.propagate import extract
from opentelemetry.trace import Span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

_tracer = trace.get_tracer("operators")
_propagator = TraceContextTextMapPropagator()


@contextmanager
def span(
    name: str,
    *,
    operator_id: UUID | None = None,
    action: str | None = None,
    vault_path: str | None = None,
    parent: str = "",
) -> Iterator[Span]:
    """Open a span with the few attributes that may leave this process; `parent` is a traceparent to hang it under."""
    attributes: Mapping[str, str | None] = {
        "ops.operator_id": str(operator_id) if operator_id else None,
        "ops.action": action,
        "vault.path": vault_path,
    }
    with _tracer.start_as_current_span(
        name,
        context=extract({"traceparent": parent}) if parent else None,
        attributes={key: value for key, value in attributes.items() if value is not None},
        # An exception's text may quote what a caller sent; its type is enough.
        record_exception=False,
    ) as opened:
        yield opened


def record_span(name: str, *, parent: str, operator_id: UUID, action: str, started_ns: int) -> None:
    """Record a span that ends now; free of charge when the trace that `parent` names is not sampled."""
    if not parent or not int(parent[-1], 16) & 1:  # the lowest bit of the flags (W3C Trace Context)
        return
    _tracer.start_span(
        name,
        context=extract({"traceparent": parent}),
        attributes={"ops.operator_id": str(operator_id), "ops.action": action},
        start_time=started_ns,
    ).end()


def traceparent() -> str:
    """Return the current W3C traceparent, or nothing outside a recorded trace."""
    carrier: dict[str, str] = {}
    _propagator.inject(carrier)
    return carrier.get("traceparent", "")


def trace_id() -> str:
    """Return the current trace id in hex, or nothing outside a trace."""
    context = trace.get_current_span().get_span_context()
    return format(context.trace_id, "032x") if context.is_valid else ""
