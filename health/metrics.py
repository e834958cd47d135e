"""The metric families of health; names and labels are part of the contract with the dashboards."""

from __future__ import annotations

from prometheus_client import Counter, Histogram

from health.reducer import State
from health.reports import DeadReason

reports = Counter("ops_health_reports", "Reports by what became of them.", ["result"])
dead = Counter("ops_health_dead", "Messages that were no acceptable report, by reason.", ["reason"])
transitions = Counter("ops_health_transition", "Changes of the state that others see.", ["from", "to"])
live_seconds = Histogram(
    "ops_health_report_to_live_seconds",
    "From the broker's receipt of a report to the live view.",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
)
batch_seconds = Histogram("ops_health_batch_duration_seconds", "Transactions of ingest.")
kv_set = Counter("ops_health_kv_set", "Writes to the live view.", ["result"])

# A family without a child is invisible until its first event; alerts need the zero.
for _result in ("accepted", "duplicate", "late", "dead"):
    reports.labels(_result)
for _reason in DeadReason:
    dead.labels(_reason.value)
for _from in State:
    for _to in State:
        if _from is not _to:
            transitions.labels(_from.value, _to.value)
for _result in ("ok", "error"):
    kv_set.labels(_result)
