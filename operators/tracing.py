"""Spans of the system of record, and the W3C trace context that events carry."""

from __future__ import annotations

from contextvars import Token
from uuid import UUID

from opentelemetry import trace
from opentelemetry.context import Context, attach, detach
from opentelemetry.propagate import extract
from opentelemetry.trace import Span, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

_tracer = trace.get_tracer("operators")
_propagator = TraceContextTextMapPropagator()


class span:  # noqa: N801 - it stands in a `with`, as a function would
    """Open a span with the few attributes that may leave this process; `parent` is a traceparent to hang it under.

    A class, for a generator on top of the library's two made a span cost as much as the work inside it. An exception
    marks it as failed and leaves no text there, for that may quote what a caller sent. In a trace that is not recorded
    the span around it stands for it.
    """

    __slots__ = ("_attributes", "_name", "_parent", "_span", "_token")
    _token: Token[Context] | None

    def __init__(
        self,
        name: str,
        *,
        operator_id: UUID | None = None,
        action: str | None = None,
        vault_path: str | None = None,
        parent: str = "",
    ) -> None:
        attributes: dict[str, str] = {}
        if operator_id:
            attributes["ops.operator_id"] = str(operator_id)
        if action is not None:
            attributes["ops.action"] = action
        if vault_path is not None:
            attributes["vault.path"] = vault_path
        self._name, self._attributes, self._parent = name, attributes, parent

    def __enter__(self) -> Span:
        current = trace.get_current_span()
        if not self._parent and is_of_no_record(current):
            self._token = None
            return current
        above = extract({"traceparent": self._parent}) if self._parent else None
        self._span = _tracer.start_span(self._name, context=above, attributes=self._attributes)
        self._token = attach(set_span_in_context(self._span))
        return self._span

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._token is None:
            return
        detach(self._token)
        if kind is not None and issubclass(kind, Exception):
            self._span.set_status(StatusCode.ERROR)
        self._span.end()


def is_of_no_record(current: Span) -> bool:
    """Tell that this process has decided not to record the current trace: no sampler records a part of it then."""
    context = current.get_span_context()
    return context.is_valid and not context.is_remote and not context.trace_flags.sampled


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
