"""The metric families of routing; names and labels are part of the contract with the dashboards."""

from __future__ import annotations

from prometheus_client import Counter, Histogram

rule_create = Counter("ops_routing_rule_create", "Creations of routing rules.", ["result"])
resolve_seconds = Histogram(
    "ops_route_resolve_duration_seconds",
    "Resolutions of one number.",
    buckets=(0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5),
)
rate_sheets = Counter("ops_rate_sheet", "Steps of rate sheets, by how they ended.", ["result"])
rate_sheet_seconds = Histogram(
    "ops_rate_sheet_duration_seconds",
    "Previews, applications and undoings of rate sheets.",
    ["step"],
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120),
)

# A family without a child is invisible until its first event; alerts need the zero.
for _result in ("ok", "conflict", "error"):
    rule_create.labels(_result)
for _result in ("previewed", "applied", "refused", "undone", "failed"):
    rate_sheets.labels(_result)
for _step in ("preview", "apply", "undo"):
    rate_sheet_seconds.labels(_step)
