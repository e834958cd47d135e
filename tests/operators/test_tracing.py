from __future__ import annotations

from uuid import uuid4

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import NonRecordingSpan, SpanContext, StatusCode

from operators.tracing import span, trace_id


def test_it_hangs_spans_under_the_one_that_is_open(spans: InMemorySpanExporter) -> None:
    before = trace.get_current_span()
    operator_id = uuid4()

    with span("outer", operator_id=operator_id, action="read_credentials") as outer, span("inner", vault_path="kv/a"):
        pass

    inner, first = spans.get_finished_spans()
    assert inner.parent == outer.get_span_context()
    assert first.parent is None
    assert dict(inner.attributes or {}) == {"vault.path": "kv/a"}
    assert dict(first.attributes or {}) == {"ops.operator_id": str(operator_id), "ops.action": "read_credentials"}
    assert [each.status.status_code for each in (inner, first)] == [StatusCode.UNSET] * 2
    assert trace.get_current_span() is before


def test_it_hangs_a_span_under_the_trace_that_an_event_carries(spans: InMemorySpanExporter) -> None:
    with span("handled", parent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"):
        pass

    [handled] = spans.get_finished_spans()
    assert handled.parent is not None
    assert (handled.parent.trace_id, handled.parent.span_id) == (0x0AF7651916CD43DD8448EB211C80319C, 0xB7AD6B7169203331)


def test_it_marks_what_failed_and_keeps_the_text_to_itself(spans: InMemorySpanExporter) -> None:
    before = trace.get_current_span()

    with pytest.raises(ValueError, match="what a caller sent"), span("failing"):
        raise ValueError("what a caller sent")

    [failing] = spans.get_finished_spans()
    assert (failing.status.status_code, failing.status.description) == (StatusCode.ERROR, None)
    assert not failing.events
    assert trace.get_current_span() is before


def test_it_opens_nothing_inside_a_trace_that_is_not_recorded() -> None:
    request = NonRecordingSpan(SpanContext(0xA1, 0xB2, is_remote=False))
    with trace.use_span(request):
        with pytest.raises(ValueError, match="wrong"), span("inner") as inner:
            raise ValueError("wrong")
        assert inner is request
        assert trace.get_current_span() is request
        assert trace_id() == f"{0xA1:032x}"


def test_it_decides_anew_for_a_trace_that_comes_from_elsewhere(spans: InMemorySpanExporter) -> None:
    elsewhere = NonRecordingSpan(SpanContext(0xA1, 0xB2, is_remote=True))
    with trace.use_span(elsewhere), span("inner") as inner:
        assert inner is not elsewhere
        assert inner.get_span_context().trace_id == 0xA1
