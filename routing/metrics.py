"""The metric families of routing; names and labels are part of the contract with the dashboards."""

from __future__ import annotations

from prometheus_client import Counter, Histogram

rule_create = Counter("ops_routing_rule_create", "Creations of routing rules.", ["result"])
resolve_seconds = Histogram(
    "ops_route_resolve_duration_seconds",
    "Resolutions of one number.",
    buckets=(0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5),
)

# A family without a child is invisible until its first event; alerts need the zero.
for _result in ("ok", "conflict", "error"):
    rule_create.labels(_result)
