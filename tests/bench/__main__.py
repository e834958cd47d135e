"""Measure ours and the bare limit in one run: `python -m tests.bench [SCENARIO ...]`; 1 when a target is missed."""

from __future__ import annotations

import argparse
import importlib
import sys
import time
from typing import Final

from tests.bench.results import Result, table
from tests.bench.servers import prepared_service

# Scenario: modules of this package whose `run(scale)` returns its results.
SCENARIOS: Final = {
    "outbox": ("backlog", "latency", "memory"),
    "console": ("console",),
    "routing": ("routing_resolve", "routing_conflicts", "routing_list", "rate_sheet"),
    "internal": ("credentials", "cold_start"),
    "health": ("health_ingest", "health_latency", "health_memory", "health_board", "health_chart"),
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("scenario", nargs="*", help=f"{', '.join(SCENARIOS)}, or a part such as latency; default: all")
    parser.add_argument("--quick", action="store_true", help="a tenth of the work, to try the bench itself")
    options = parser.parse_args()
    chosen: list[str] = options.scenario or list(SCENARIOS)
    modules = [module for name in chosen for module in SCENARIOS.get(name, (name,))]
    if unknown := set(modules) - {module for parts in SCENARIOS.values() for module in parts}:
        parser.error(f"unknown scenario: {', '.join(sorted(unknown))}")
    results: list[Result] = []
    started = time.monotonic()
    with prepared_service():
        for module in modules:
            found = importlib.import_module(f"tests.bench.{module}").run(0.1 if options.quick else 1.0)
            print(table(found), flush=True)
            results += found
    print(f"\n{table(results)}\n\n{time.monotonic() - started:.0f} s in all")
    return 1 if any(result.is_met is False for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
