from __future__ import annotations

import logging

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import REGISTRY

from operators.actors import Actor
from operators.errors import PreconditionFailed
from routing.imports.applying import apply_sheet
from routing.imports.steps import step
from routing.imports.undoing import undo_sheet
from tests.factories import make_operator
from tests.routing.imports.cast import previewed, row

pytestmark = pytest.mark.django_db(transaction=True)

RESULTS = ("previewed", "applied", "refused", "undone", "failed")


def results() -> dict[str, float]:
    return {name: REGISTRY.get_sample_value("ops_rate_sheet_total", {"result": name}) or 0 for name in RESULTS}


def durations(name: str) -> float:
    return REGISTRY.get_sample_value("ops_rate_sheet_duration_seconds_count", {"step": name}) or 0


def test_every_step_is_counted_timed_traced_and_logged(
    actor: Actor, spans: InMemorySpanExporter, caplog: pytest.LogCaptureFixture
) -> None:
    operator = make_operator()
    spans.clear()
    before, timed = results(), durations("apply")

    with caplog.at_level(logging.INFO, "routing.imports.steps"):
        sheet = previewed(operator, row("+441", "0.05"))
        apply_sheet(actor=actor, sheet_id=sheet.pk)
        with pytest.raises(PreconditionFailed):
            apply_sheet(actor=actor, sheet_id=sheet.pk)
        undo_sheet(actor=actor, sheet_id=sheet.pk)
        with pytest.raises(ZeroDivisionError), step("undo", actor=actor, operator_id=operator.pk, sheet="prices.csv"):
            raise ZeroDivisionError

    assert {name: count - before[name] for name, count in results().items()} == dict.fromkeys(RESULTS, 1)
    assert durations("apply") == timed + 2
    ours = [span for span in spans.get_finished_spans() if span.name.startswith("ops.routing.")]
    assert [span.name for span in ours] == [
        "ops.routing.previewRateSheet",
        "ops.routing.applyRateSheet",
        "ops.routing.applyRateSheet",
        "ops.routing.undoRateSheet",
        "ops.routing.undoRateSheet",
    ]
    assert {(span.attributes or {})["ops.operator_id"] for span in ours} == {str(operator.pk)}
    told = [vars(record) for record in caplog.records if record.name == "routing.imports.steps"]
    assert [each["action"] for each in told] == ["preview_rate_sheet", "apply_rate_sheet", "undo_rate_sheet"]
    assert {(each["operatorId"], each["adminId"]) for each in told} == {(str(operator.pk), "alice")}
    assert all(each["durationMs"] > 0 for each in told)
